"""Run with: pytest tests/integration/test_analyze.py."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cgd.cli import app
from cgd.errors import UserError
from cgd.pipeline import RunResult
from tests.integration.folder import query, stages

CONTEXTS = ("x", "x_draft", "x_draft_critique")


def analyze(folder: Path, *options: str) -> str:
    done = CliRunner().invoke(app, ["analyze", str(folder), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def analyzed(finished: RunResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished run, analysed."""
    folder = tmp_path_factory.mktemp("analyzed") / "tiny"
    shutil.copytree(finished.folder, folder)
    analyze(folder, "--bayes-records", "3", "--candidates", "4")
    return folder


@pytest.fixture
def account(analyzed: Path) -> Any:
    return json.loads((analyzed / "analysis.json").read_text())


def test_every_quantity_is_there_for_the_student_before_and_after_training(account: Any) -> None:
    for model in ("student_before", "student_after"):
        assert list(account["entropy"][model]) == list(CONTEXTS)
        for value in account["entropy"][model].values():
            assert value["n"] == 8 and value["ci95"][0] <= value["mean"] <= value["ci95"][1]
        assert account["information_gain"][model]["n"] == 8
        assert account["pmi"][model]["per_record"]["n"] == 8
        assert account["bayes"][model]["kl"]["n"] == 3
    assert account["entropy"]["student_before"] != account["entropy"]["student_after"]
    (moved,) = account["moved"].values()
    assert moved["n"] == 6 and moved["mean"] > 0
    assert account["audits"]["rates"]["leaks"]["n"] == 8
    assert (
        sum(account["audits"]["ledger"]["all"][f"{a} to {b}"] for a in ("right", "wrong") for b in ("right", "wrong"))
        == 8
    )


def test_the_gain_is_the_difference_of_the_entropies(account: Any) -> None:
    for model, gain in account["information_gain"].items():
        entropy = account["entropy"][model]
        assert gain["mean"] == pytest.approx(entropy["x_draft"]["mean"] - entropy["x_draft_critique"]["mean"])


def test_scores_are_kept_token_by_token_and_not_made_again(analyzed: Path) -> None:
    """Three contexts a record and model, critiques and candidates beside them; the second time nothing is made."""
    refinements = query(
        analyzed, "SELECT model, context, COUNT(*) FROM scores WHERE target = 'refinement' GROUP BY model, context"
    )
    assert len(refinements) == 6 and all(count == 8 for *_, count in refinements)
    for tokens, log_p, entropy in query(analyzed, "SELECT tokens, log_p, entropy FROM scores"):
        assert len(json.loads(tokens)) == len(json.loads(log_p)) == len(json.loads(entropy)) > 0
    before = query(analyzed, "SELECT COUNT(*) FROM scores"), stages(analyzed)
    output = analyze(analyzed, "--bayes-records", "3")
    assert (query(analyzed, "SELECT COUNT(*) FROM scores"), stages(analyzed)) == before
    assert "H(refinement | x_draft_critique" in output and "n = 8 records" in output


def test_drafts_and_refinements_are_graded_as_predictions_are(analyzed: Path) -> None:
    graded = query(
        analyzed,
        "SELECT stage, COUNT(*) FROM grades JOIN replies USING (key) GROUP BY stage",
    )
    assert dict(graded) == {"draft": 8, "prediction": 18, "refinement": 8}


def test_an_arm_that_the_run_lacks_is_refused_with_those_it_has(analyzed: Path) -> None:
    done = CliRunner().invoke(app, ["analyze", str(analyzed), "--arm", "cft"])
    assert isinstance(done.exception, UserError) and "it has: cgd, sft" in str(done.exception)


def test_a_training_seed_without_a_checkpoint_is_refused(analyzed: Path) -> None:
    done = CliRunner().invoke(app, ["analyze", str(analyzed), "--seed", "7"])
    assert isinstance(done.exception, UserError) and "the recipe trains: cgd seed 0, sft seed 0" in str(done.exception)


def test_the_report_has_how_far_the_student_moved_beside_the_drift_of_its_replies(analyzed: Path) -> None:
    report = (analyzed / "report" / "report.md").read_text(encoding="utf-8")
    drift = report[report.index("Format drift on") :].partition("\n\n#")[0]
    assert "| KL of the next token from base, on base's replies (nats a token) |" in drift
