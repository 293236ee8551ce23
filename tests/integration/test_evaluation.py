"""Run with: pytest tests/integration/test_evaluation.py. What a run can measure beyond one answer to a prompt."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cgd import pipeline
from cgd.cli import app
from cgd.errors import UserError
from cgd.pipeline import RunResult
from cgd.prompts import student_context
from cgd.recipe import load_recipe
from cgd.store import load_messages
from tests.integration.folder import query, stages


@pytest.fixture
def runs(finished: RunResult, tmp_path: Path) -> Path:
    """A copy of the finished run, in a folder of runs."""
    shutil.copytree(finished.folder, tmp_path / "runs" / "tiny")
    return tmp_path / "runs"


def go_on(recipe_file: Path, runs: Path, *overrides: str) -> RunResult:
    return pipeline.run(load_recipe([recipe_file], overrides), runs, accept_changes=True)


def test_each_sample_of_an_answer_is_a_row_of_its_own(recipe_file: Path, runs: Path) -> None:
    """6 prompts, 3 samples, base and two arms; greedy answers of before stay in the store and count no longer."""
    result = go_on(recipe_file, runs, "evaluation.samples=3", "evaluation.temperature=1.0")
    samples = query(result.folder, "SELECT sample, COUNT(*) FROM predictions GROUP BY sample ORDER BY sample")
    assert samples == [(0, 18), (1, 18), (2, 18)]
    assert stages(result.folder)["prediction"] == 18 + 54
    assert all(arm["n"] == 6 for arm in result.summary["arms"].values())


def test_the_student_criticises_and_refines_its_own_answers_in_the_contexts_it_is_trained_with(
    recipe_file: Path, runs: Path
) -> None:
    """Two rounds of 6 items for base and two arms; the second round's drafts are the first round's refinements."""
    result = go_on(recipe_file, runs, "evaluation.self_refine.rounds=2")
    rows = query(result.folder, "SELECT arm, round, COUNT(*) FROM self_refinements GROUP BY arm, round")
    assert sorted(rows) == [(arm, number, 6) for arm in ("base", "cgd", "sft") for number in (1, 2)]
    assert stages(result.folder)["self_critique"] == stages(result.folder)["self_refinement"] == 36
    chain = query(
        result.folder,
        "SELECT s.round, p.messages, d.stage, d.text, s.critique, r.messages FROM self_refinements AS s "
        "JOIN replies AS d ON d.key = s.draft_key JOIN replies AS r ON r.key = s.key "
        "JOIN prompts AS p ON p.id = s.prompt_id",
    )
    assert Counter((number, stage) for number, _, stage, *_ in chain) == {
        (1, "prediction"): 18,
        (2, "self_refinement"): 18,
    }
    for _, messages, _, draft, critique, asked in chain:
        context = student_context(load_messages(messages), wanted="refinement", draft=draft, critique=critique)
        assert load_messages(asked) == list(context)
    assert go_on(recipe_file, runs, "evaluation.self_refine.rounds=2").made == 0


def test_the_teacher_can_be_the_critic(recipe_file: Path, runs: Path) -> None:
    """The tutor criticises 18 answers; the students alone write the refinements."""
    result = go_on(recipe_file, runs, 'evaluation.self_refine.critic="teacher"')
    assert stages(result.folder)["critique"] == 8 + 18
    assert stages(result.folder)["self_refinement"] == 18 and "self_critique" not in stages(result.folder)
    critics = query(
        result.folder,
        "SELECT DISTINCT c.backend FROM self_refinements AS s JOIN replies AS c ON c.key = s.upstream_key",
    )
    assert [json.loads(critic)["backend"] for (critic,) in critics] == ["tutor"]


def test_what_refining_reaches_and_spends_stands_beside_the_answer_given_at_once(recipe_file: Path, runs: Path) -> None:
    """Generated tokens of a round: the answer's, the critique's and the refinement's, all in the store."""
    result = go_on(recipe_file, runs, "evaluation.self_refine.rounds=1")
    (one,) = result.summary["self_refine"]["arithmetic"]["base"]
    assert one["round"] == 1 and one["n"] == 6
    ((once,),) = query(result.folder, "SELECT AVG(completion_tokens) FROM predictions WHERE arm = 'base'")
    ((more,),) = query(
        result.folder, "SELECT AVG(critique_tokens + completion_tokens) FROM self_refinements WHERE arm = 'base'"
    )
    assert one["one_pass"]["generated"] == pytest.approx(once)
    assert one["refined"]["generated"] == pytest.approx(once + more)
    assert one["refined"]["read"] > one["one_pass"]["read"] * 2
    low, high = one["ci95"]
    assert low <= one["difference"] <= high


def test_a_teacher_as_critic_without_a_teacher_is_refused(recipe_file: Path, runs: Path) -> None:
    recipe = load_recipe([recipe_file], ['evaluation.self_refine.critic="teacher"', 'arms.0.objective="sft"'])
    with pytest.raises(UserError, match=r"no \[teacher\] section"):
        pipeline.run(recipe.model_copy(update={"teacher": None}), runs)


def test_checkpoints_kept_along_the_training_are_evaluated_where_asked(recipe_file: Path, runs: Path) -> None:
    """Two steps and two checkpoints: the first step's is `cgd@1`, the last one is the arm itself."""
    kept = ("training.keep_checkpoints=2", 'evaluation.checkpoints="kept"')
    result = go_on(recipe_file, runs, *kept)
    rows = query(
        result.folder, "SELECT arm, COUNT(*) FROM checkpoint_predictions WHERE strict IS NOT NULL GROUP BY arm"
    )
    assert sorted(rows) == [("cgd@1", 6), ("sft@1", 6)]
    assert list(result.summary["arms"]) == ["base", "cgd", "sft"]
    assert go_on(recipe_file, runs, *kept).made == 0


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    lines = [{"question": f"What is {n} + 1?", "answer": f"{n} + 1 = {n + 1}\n#### {n + 1}"} for n in range(5)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def evaluate(*arguments: Any) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["eval", *map(str, arguments)])
    return done.exit_code, done.output


def test_any_model_is_evaluated_without_a_run_and_answers_are_never_made_twice(
    student: Path, rows: Path, tmp_path: Path
) -> None:
    given = (student, "--tasks", f"gsm8k={rows}", "--limit", 3, "--runs", tmp_path / "runs", "--name", "one")
    code, output = evaluate(*given, "--set", "evaluation.max_tokens=4")
    assert code == 0 and "gsm8k:" in output and "n = 3" in output
    folder = tmp_path / "runs" / "one"
    assert stages(folder) == {"prediction": 3}
    assert query(folder, "SELECT COUNT(*) FROM predictions WHERE strict IS NOT NULL") == [(3,)]
    assert (folder / "report" / "index.html").is_file()
    before = query(folder, "SELECT key, stored_at FROM replies ORDER BY key")
    assert evaluate(*given, "--set", "evaluation.max_tokens=4")[0] == 0
    assert query(folder, "SELECT key, stored_at FROM replies ORDER BY key") == before


def test_a_checkpoint_is_evaluated_under_the_name_of_its_run(finished: RunResult, rows: Path, tmp_path: Path) -> None:
    place = finished.folder / "checkpoints" / "cgd" / "seed0"
    code, output = evaluate(place, "--tasks", f"gsm8k={rows}", "--limit", 2, "--runs", tmp_path / "runs")
    assert code == 0, output
    assert "\ntiny-cgd-seed0  " in output
    assert (tmp_path / "runs" / "eval-tiny-cgd-seed0" / "summary.json").is_file()


def test_a_benchmark_that_does_not_exist_is_the_users_mistake(student: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["eval", str(student), "--tasks", "gsm9k", "--runs", str(tmp_path)])
    assert isinstance(done.exception, UserError) and "no plug-in 'gsm9k'" in str(done.exception)
    assert not list(tmp_path.glob("*/run.sqlite"))


def test_what_stands_behind_a_benchmarks_name_is_its_first_option(student: Path, tmp_path: Path) -> None:
    pytest.importorskip("reasoning_gym")
    few = ("--limit", 2, "--runs", tmp_path, "--name", "sums", "--set", "evaluation.max_tokens=4")
    code, output = evaluate(student, "--tasks", "reasoning_gym=chain_sum", *few)
    assert code == 0 and "reasoning_gym:" in output and "n = 2" in output
    done = CliRunner().invoke(app, ["eval", str(student), "--tasks", "arithmetic=sums", "--runs", str(tmp_path)])
    assert isinstance(done.exception, UserError) and "arithmetic takes no option" in str(done.exception)
