"""Run with: pytest tests/integration/test_tiny_run.py. Whole runs in seconds, with a random-weight student."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cgd import pipeline
from cgd.chat import load_tokenizer
from cgd.config import Recipe
from cgd.errors import UserError
from cgd.models import model_folder
from cgd.pipeline import RunResult
from cgd.prompts import student_context
from cgd.recipe import load_recipe
from cgd.records import Example
from cgd.training import arms
from cgd.training.completion_only import encode_example
from tests.integration.folder import REPOSITORY, changed, decided, query, stages, times


@pytest.fixture
def runs(finished: RunResult, tmp_path: Path) -> Path:
    """A copy of the finished run, in a folder of runs."""
    shutil.copytree(finished.folder, tmp_path / "runs" / "tiny")
    return tmp_path / "runs"


FIGURES = (
    *("accuracy-arithmetic", "reply-lengths-arithmetic", "text-lengths"),
    *("training-entropy", "training-grad-norm", "training-loss", "training-tokens-per-s"),
)


def recipe_with(recipe_file: Path, *overrides: str) -> Recipe:
    return load_recipe([recipe_file], overrides)


def test_the_folder_holds_what_is_promised_and_nothing_else(finished: RunResult, student: Path) -> None:
    files = {str(path.relative_to(finished.folder)) for path in finished.folder.rglob("*") if path.is_file()}
    model = {path.name for path in student.iterdir()} | {"cgd.json"}
    assert files == {
        *("run.sqlite", "run.lock", "manifest.json", "summary.json", "report/index.html", "report/report.md"),
        *(f"report/figures/{name}.csv" for name in FIGURES),
        *("dataset/cgd.parquet", "dataset/sft.parquet"),
        *(f"checkpoints/{arm}/seed0/{name}" for arm in ("cgd", "sft") for name in model),
    }
    for arm in ("cgd", "sft"):
        checkpoint = finished.folder / "checkpoints" / arm / "seed0"
        assert model_folder(str(checkpoint)) == checkpoint
        template = "chat_template.jinja"
        assert (checkpoint / template).read_bytes() == (student / template).read_bytes()


def test_the_store_holds_every_reply_and_a_grade_for_each_prediction(finished: RunResult) -> None:
    """8 records through three stages; 6 test prompts for the base student and two arms."""
    assert stages(finished.folder) == {"draft": 8, "critique": 8, "refinement": 8, "prediction": 18}
    assert query(finished.folder, "SELECT COUNT(*) FROM records") == [(8,)]
    assert query(finished.folder, "SELECT COUNT(*) FROM grades WHERE strict IS NOT NULL") == [(18,)]
    assert query(finished.folder, "SELECT COUNT(*) FROM replies WHERE state = 'failed'") == [(0,)]
    assert finished.made == 8 + 8 + 8 + 2 + 18 + 18, "replies, trainings, predictions, grades"
    arms = query(finished.folder, "SELECT arm, COUNT(*) FROM predictions GROUP BY arm ORDER BY arm")
    assert arms == [("base", 6), ("cgd", 6), ("sft", 6)]


def test_a_prediction_is_made_from_the_prompt_alone(finished: RunResult) -> None:
    sent = query(
        finished.folder,
        "SELECT r.messages, p.messages FROM replies AS r JOIN prompts AS p ON p.id = r.prompt_id "
        "WHERE r.stage IN ('draft', 'prediction')",
    )
    assert len(sent) == 26 and all(messages == prompt for messages, prompt in sent)


def test_the_summary_has_the_promised_shape(finished: RunResult) -> None:
    summary = json.loads((finished.folder / "summary.json").read_text())
    assert summary == json.loads(json.dumps(finished.summary))
    assert list(summary) == [
        *("format", "task", "arms", "paired", "tasks", "generation", "spend", "drops", "training", "harness"),
        *("self_refine", "drift", "contamination"),
    ]
    assert summary["task"] == "arithmetic" and list(summary["tasks"]) == ["arithmetic"]
    assert list(summary["arms"]) == ["base", "cgd", "sft"]
    for arm in summary["arms"].values():
        assert arm["n"] == 6 and arm["seeds"] == 1 and arm["failed"] == arm["unscored"] == 0
        low, high = arm["ci95"]
        assert 0 <= low <= arm["strict_accuracy"] <= high <= 1
        assert 1 <= arm["mean_tokens"] <= 8
    assert list(summary["paired"]) == ["cgd-base", "sft-base", "sft-cgd"]
    for pair in summary["paired"].values():
        assert pair["n"] == 6 and len(pair["ci95"]) == 2 and 0 <= pair["p_mcnemar"] <= 1
    for stage in ("draft", "critique", "refinement"):
        counts = summary["generation"][stage]
        assert counts["done"] + counts["truncated"] == 8 and counts["failed"] == 0
    assert summary["drops"] == []
    accounts = [(row["arm"], row["seed"], row["rows"], row["steps"]) for row in summary["training"]]
    assert accounts == [("cgd", 0, 8, 2), ("sft", 0, 8, 2)]


def test_the_manifest_tells_how_to_repeat_the_run(finished: RunResult, recipe_file: Path) -> None:
    manifest = json.loads((finished.folder / "manifest.json").read_text())
    assert Recipe.model_validate(manifest["recipe"]) == load_recipe([recipe_file])
    assert manifest["command"] == "cgd run tiny.toml"
    assert {"torch", "transformers", "trl"} <= manifest["versions"].keys()
    assert set(manifest["durations_s"]) == {"draft", "critique", "refinement", "training", "evaluation"}


def test_every_arm_trains_on_the_same_records_as_its_objective_sees_them(finished: RunResult, student: Path) -> None:
    """The files of text, and the tokens that were counted in training, both follow from the store's records."""
    from pyarrow import parquet

    records = query(finished.folder, "SELECT prompt, draft, critique, refinement, solution FROM records")
    prompts = [json.loads(record[0]) for record in records]
    contexts = {
        "cgd": [
            student_context(x, wanted="refinement", draft=r[1], critique=r[2])
            for x, r in zip(prompts, records, strict=True)
        ],
        "sft": prompts,
    }
    targets = {"cgd": [record[3] for record in records], "sft": [record[4] for record in records]}
    summary = {row["arm"]: row for row in finished.summary["training"]}
    ids = {}
    tokenizer = load_tokenizer(student)
    for arm, expected in contexts.items():
        table = parquet.read_table(finished.folder / "dataset" / f"{arm}.parquet").to_pydict()
        assert [json.loads(messages) for messages in table["messages"]] == [list(context) for context in expected]
        assert table["target"] == targets[arm]
        ids[arm] = table["record_id"]
        rows = [
            encode_example(tokenizer, Example(tuple(context), target))
            for context, target in zip(expected, targets[arm], strict=True)
        ]
        assert summary[arm]["target_tokens"] == sum(row.target_tokens for row in rows)
    assert ids["cgd"] == ids["sft"] and len(set(ids["cgd"])) == 8


def test_a_second_run_makes_nothing_and_writes_nothing(
    runs: Path, recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_again(*_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(arms, "train", not_again)
    before, store = times(runs / "tiny"), decided(runs / "tiny")
    result = pipeline.run(load_recipe([recipe_file]), runs)
    assert result.made == 0
    assert changed(before, times(runs / "tiny")) == set()
    assert decided(runs / "tiny") == store
    assert query(runs / "tiny", "SELECT MAX(attempts) FROM replies") == [(1,)]


def test_a_second_run_on_the_command_line_says_so_without_loading_torch(
    runs: Path, recipe_file: Path, finished: RunResult
) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "cgd.cli", "run", str(recipe_file), "--runs", str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0
    assert f"nothing to do: {runs / 'tiny'} is complete" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "cgd.pipeline" in imported and not imported & {"torch", "transformers", "trl", "peft", "datasets"}


def test_a_changed_recipe_is_refused_with_what_changed_and_what_it_would_redo(runs: Path, recipe_file: Path) -> None:
    before = times(runs / "tiny")
    with pytest.raises(UserError) as refusal:
        pipeline.run(recipe_with(recipe_file, "evaluation.tasks.0.n=8"), runs)
    message = str(refusal.value)
    assert "evaluation.tasks.0.n: 6 -> 8" in message and "--accept-changes" in message
    assert "changed: evaluation, report." in message
    assert changed(before, times(runs / "tiny")) == set()


def test_more_test_prompts_redo_only_what_they_add(
    runs: Path, recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 instead of 6: two more predictions and grades of each of three students, and nothing is trained."""
    before, rows = times(runs / "tiny"), decided(runs / "tiny")
    result = pipeline.run(recipe_with(recipe_file, "evaluation.tasks.0.n=8"), runs, accept_changes=True)
    assert result.made == 3 * 2 + 3 * 2
    assert changed(before, times(runs / "tiny")) == {
        *("manifest.json", "summary.json", "report/index.html", "report/report.md"),
        *(f"report/figures/{name}.csv" for name in FIGURES),
    }
    assert stages(runs / "tiny") == {"draft": 8, "critique": 8, "refinement": 8, "prediction": 24}
    assert set(rows["replies"]) <= set(decided(runs / "tiny")["replies"]), "old rows stay"
    assert {arm["n"] for arm in result.summary["arms"].values()} == {8}


def test_an_arm_that_is_added_is_the_only_one_trained(runs: Path, recipe_file: Path) -> None:
    before = times(runs / "tiny")
    arms = ", ".join(f'{{name = "{name}", objective = "{name}"}}' for name in ("cgd", "sft", "refine"))
    result = pipeline.run(recipe_with(recipe_file, f"arms=[{arms}]"), runs, accept_changes=True)
    assert result.made == 1 + 6 + 6, "one training, its predictions and their grades"
    after = times(runs / "tiny")
    trained = {name.split("/")[1] for name in changed(before, after) if name.startswith("checkpoints/")}
    assert trained == {"refine"}
    assert stages(runs / "tiny") == {"draft": 8, "critique": 8, "refinement": 8, "prediction": 24}
    assert list(result.summary["arms"]) == ["base", "cgd", "sft", "refine"]
    assert [row["arm"] for row in result.summary["training"]] == ["cgd", "sft", "refine"]


def test_an_arm_that_is_taken_out_disappears_from_the_summary_but_not_from_the_disk(
    runs: Path, recipe_file: Path
) -> None:
    before = times(runs / "tiny")
    fewer = recipe_with(recipe_file, 'arms=[{name = "cgd", objective = "cgd"}]')
    result = pipeline.run(fewer, runs, accept_changes=True)
    assert result.made == 0
    assert list(result.summary["arms"]) == ["base", "cgd"] and list(result.summary["paired"]) == ["cgd-base"]
    assert [row["arm"] for row in result.summary["training"]] == ["cgd"]
    assert query(runs / "tiny", "SELECT DISTINCT arm FROM predictions ORDER BY arm") == [("base",), ("cgd",)]
    assert not any(name.startswith("checkpoints/") for name in changed(before, times(runs / "tiny")))
    report = (runs / "tiny" / "report" / "report.md").read_text()
    assert "cgd" in report and "sft" not in report
    again = pipeline.run(load_recipe([recipe_file]), runs, accept_changes=True)
    assert (again.made, list(again.summary["arms"])) == (0, ["base", "cgd", "sft"])


def test_stages_that_no_arm_needs_any_more_are_not_counted_but_keep_their_rows(runs: Path, recipe_file: Path) -> None:
    plain = recipe_with(recipe_file, 'arms=[{name = "sft", objective = "sft"}]')
    result = pipeline.run(plain, runs, accept_changes=True)
    assert (result.made, result.summary["generation"]) == (0, {})
    kept = query(runs / "tiny", "SELECT COUNT(*) FROM replies WHERE stage IN ('draft', 'critique', 'refinement')")
    assert kept == [(24,)]
    again = pipeline.run(load_recipe([recipe_file]), runs, accept_changes=True)
    assert (again.made, list(again.summary["generation"])) == (0, ["draft", "critique", "refinement"])


def test_a_second_seed_trains_one_more_student_an_arm_and_can_be_taken_out_again(runs: Path, recipe_file: Path) -> None:
    result = pipeline.run(recipe_with(recipe_file, "training.seeds=[0, 1]"), runs, accept_changes=True)
    assert result.made == 2 + 2 * (6 + 6)
    assert {name: arm["seeds"] for name, arm in result.summary["arms"].items()} == {"base": 1, "cgd": 2, "sft": 2}
    again = pipeline.run(load_recipe([recipe_file]), runs, accept_changes=True)
    assert again.made == 0
    assert {name: arm["seeds"] for name, arm in again.summary["arms"].items()} == {"base": 1, "cgd": 1, "sft": 1}


def test_other_training_settings_train_again_and_keep_the_old_checkpoints(runs: Path, recipe_file: Path) -> None:
    result = pipeline.run(recipe_with(recipe_file, "training.steps=1"), runs, accept_changes=True)
    assert result.made == 2 + 2 * (6 + 6), "both arms; the base student's predictions stand"
    for arm in ("cgd", "sft"):
        names = sorted(path.name.partition("-")[0] for path in (runs / "tiny" / "checkpoints" / arm).iterdir())
        assert names == ["seed0", "seed0.replaced"]
    assert {row["steps"] for row in result.summary["training"]} == {1}
