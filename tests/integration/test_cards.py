"""Run with: pytest tests/integration/test_cards.py. `cgd card` on a finished run."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard, ModelCard
from typer.testing import CliRunner

from cgd.cards import write_cards
from cgd.cli import app
from cgd.errors import UserError
from cgd.pipeline import RunResult
from tests.integration.folder import query

HOSTILE = "![x](evil)<img onerror=alert(1)> | `a` {{ 7 * 7 }}\n---\n# head"


@pytest.fixture
def run_folder(finished: RunResult, tmp_path: Path) -> Path:
    shutil.copytree(finished.folder, tmp_path / "tiny")
    return tmp_path / "tiny"


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_every_checkpoint_and_the_rows_get_a_card_beside_them(run_folder: Path) -> None:
    done = CliRunner().invoke(app, ["card", str(run_folder), "--license", "apache-2.0"], catch_exceptions=False)
    places = [f"checkpoints/{arm}/seed0" for arm in ("cgd", "sft")] + ["dataset"]
    assert done.output.splitlines() == [f"done: {run_folder / place / 'README.md'}" for place in places]


def test_the_hubs_own_reader_finds_the_results_that_the_store_holds(run_folder: Path) -> None:
    """`model-index` has the strict accuracy of this very checkpoint, in percent."""
    write_cards(run_folder, arm="cgd", licence="mit")
    card = ModelCard.load(run_folder / "checkpoints" / "cgd" / "seed0" / "README.md")
    ((right, n),) = query(run_folder, "SELECT sum(strict), count(strict) FROM predictions WHERE arm = 'cgd'")
    (result,) = card.data.eval_results
    assert result.metric_value == pytest.approx(100 * right / n, abs=0.01)
    assert (result.dataset_name, result.metric_type) == ("arithmetic", "accuracy")
    assert f"n = {n}" in result.metric_name
    assert card.data.license == "mit"
    assert card.data.library_name == "transformers"
    assert "The teacher is a program" in card.text


def test_the_data_card_names_a_file_an_arm(run_folder: Path) -> None:
    write_cards(run_folder)
    card = DatasetCard.load(run_folder / "dataset" / "README.md")
    assert card.data.configs == [{"config_name": arm, "data_files": f"{arm}.parquet"} for arm in ("cgd", "sft")]
    assert card.data.size_categories == ["n<1K"]
    assert "| cgd | cgd | 8 |" in card.text


def test_audits_stand_in_the_data_card_of_an_analysed_run(run_folder: Path) -> None:
    rate = {"share": 0.25, "ci95": [0.125, 0.5], "n": 8, "first": []}
    (run_folder / "analysis.json").write_text(json.dumps({"audits": {"rates": {"leaks": rate}}}))
    write_cards(run_folder)
    text = (run_folder / "dataset" / "README.md").read_text()
    assert "| critiques that give the answer or the solution away | 25.0% | 12.5% to 50.0% |" in text


def test_what_the_harness_and_refining_found_stands_in_the_card(run_folder: Path) -> None:
    """A round of refining: 2 of 6 right at once, 3 of 6 refined."""

    def found(value: float) -> dict[str, Any]:
        return {"n": 50, "error": None, "scores": {"exact_match,none": {"value": value, "stderr": 0.0625}}}

    failed = {"n": 0, "error": f"no such file: {run_folder}", "scores": {}}
    once = {"strict_accuracy": 1 / 3, "ci95": [0.1, 0.7], "generated": 8.0, "read": 40.0}
    refined = {"strict_accuracy": 0.5, "ci95": [0.19, 0.81], "generated": 24.0, "read": 160.0}
    one = {"round": 1, "n": 6, "one_pass": once, "refined": refined, "difference": 1 / 6, "ci95": [-0.1, 0.4]}
    edit(
        run_folder / "summary.json",
        harness={"drop": {"base": found(0.1), "cgd": found(0.25)}, "squad": {"cgd": failed}},
        self_refine={"arithmetic": {"base": [one], "cgd": [one]}},
    )
    write_cards(run_folder, arm="cgd")
    card = ModelCard.load(run_folder / "checkpoints" / "cgd" / "seed0" / "README.md")
    assert "| drop | exact\\_match,none | 0.2500 ± 0.0625 | 0.1000 ± 0.0625 | 50 |" in card.text
    assert "own answer at inference:\n" in card.text
    assert (
        "| arithmetic | 1 | 33.3% (10.0% to 70.0%) | 50.0% (19.0% to 81.0%) | +16.7 (−10.0 to +40.0) | 8.0, 24.0 | 6 |"
    ) in card.text
    assert "lm-evaluation-harness failed on squad." in card.text
    assert "Tested on arithmetic, drop alone" in card.text
    assert str(run_folder) not in card.text
    result = next(one for one in card.data.eval_results if one.dataset_type == "drop")
    assert (result.metric_type, result.metric_value) == ("exact_match", 0.25)
    assert result.metric_name == "exact_match,none (standard error 0.0625, n = 50)"


def test_cards_go_where_they_are_wanted_and_tell_no_path(run_folder: Path, tmp_path: Path) -> None:
    written = write_cards(run_folder, out=tmp_path / "cards")
    names = [str(path.relative_to(tmp_path / "cards")) for path in written]
    assert names == ["cgd-seed0/README.md", "sft-seed0/README.md", "dataset/README.md"]
    assert not list(run_folder.rglob("README.md"))
    assert not any(str(tmp_path.parent) in path.read_text() for path in written)


def test_no_text_of_others_is_more_than_text(run_folder: Path) -> None:
    manifest = json.loads((run_folder / "manifest.json").read_text())
    manifest["recipe"]["teacher"] |= {"backend": "scripted", "model": HOSTILE}
    edit(run_folder / "manifest.json", recipe=manifest["recipe"])
    edit(run_folder / "summary.json", drops=[{"stage": "x", "reason": HOSTILE, "n": 1, "first": []}])
    texts = [path.read_text() for path in write_cards(run_folder)]
    assert sum("alert(1)" in text for text in texts) == 2, "the cards of cgd and of the data name the teacher"
    for text in texts:
        assert "<img" not in text.replace(r"\<img", "")
        assert "![x]" not in text
        assert "\n# head" not in text
        assert text.count("\n---\n") == 1


def test_a_text_cannot_close_its_fence(run_folder: Path) -> None:
    with closing(sqlite3.connect(run_folder / "run.sqlite", isolation_level=None)) as database:
        database.execute("UPDATE replies SET text = ? WHERE stage = 'draft'", ("```\n<script>",))
    write_cards(run_folder)
    assert "````text\n```\n<script>\n````" in (run_folder / "dataset" / "README.md").read_text()


def test_a_run_that_has_nothing_to_describe_is_refused(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no arm 'none' in this run; it has: cgd, sft"):
        write_cards(run_folder, arm="none")
    shutil.rmtree(run_folder / "checkpoints")
    with pytest.raises(UserError, match="holds no checkpoint to describe"):
        write_cards(run_folder)
    with pytest.raises(UserError, match="holds no finished run"):
        write_cards(tmp_path)
