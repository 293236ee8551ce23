"""Run with: pytest tests/integration/test_controls_in_a_run.py. From recipe to weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cgd import pipeline
from cgd.pipeline import RunResult
from cgd.recipe import load_recipe
from tests.integration.folder import query, stages
from tests.tiny import save_recipe

ARMS: list[dict[str, Any]] = [
    {"name": "own"},
    {"name": "general", "critique": "placeholder"},
    {"name": "wrong", "corrupt": {"p": 1.0, "kind": "verdict"}, "rounds": 2},
    {"name": "wrong_step", "corrupt": {"p": 1.0, "kind": "step"}},
]


@pytest.fixture(scope="module")
def recipe_file(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_recipe(
        tmp_path_factory.mktemp("recipe") / "controls.toml",
        student,
        dataset={"by_gain": {"keep": 0.5}},
        arms=[{"objective": "cgd", **arm} for arm in ARMS],
        training={"steps": 1, "batch_size": 2},
        evaluation={"max_tokens": 4, "tasks": [{"task": "arithmetic", "n": 2}]},
    )


@pytest.fixture(scope="module")
def ran(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return pipeline.run(load_recipe([recipe_file]), tmp_path_factory.mktemp("runs"))


GENERATED = "SELECT key FROM replies WHERE stage IN ('draft', 'critique', 'refinement') ORDER BY key"


def test_records_are_scored_before_training_and_half_of_them_stay(ran: RunResult) -> None:
    ((left_out,),) = query(ran.folder, "SELECT COUNT(*) FROM drops WHERE reason = 'not in the highest 50% by gain'")
    ((scored,),) = query(ran.folder, "SELECT COUNT(DISTINCT record_id) FROM scores")
    assert (left_out, scored) == (4, 8)
    rows = {arm: json.loads(info)["rows"] for arm, info in query(ran.folder, "SELECT arm, info FROM checkpoints")}
    assert rows == {"own": 4, "general": 4, "wrong": 8, "wrong_step": 4}, "a second round is not filtered"


def test_what_could_not_be_made_wrong_is_told(ran: RunResult) -> None:
    """Every critique has a verdict; those of drafts without a calculation name no step."""
    manifest = json.loads((ran.folder / "manifest.json").read_text())
    all_changed = {"rows": 4, "drawn": 4, "changed": 4}
    assert manifest["corrupted"]["wrong"] == all_changed
    assert manifest["corrupted"]["wrong seed 0 round 2"] == {"rows": 8, "drawn": 8, "changed": 8}
    left = 4 - manifest["corrupted"]["wrong_step"]["changed"]
    assert left > 0
    (warning,) = manifest["warnings"]
    assert warning.startswith(f"arm wrong_step: {left} of 4 critiques that were to be made wrong hold nothing")


def test_arms_share_replies_and_have_rows_of_their_own(ran: RunResult) -> None:
    """Drafts of two rounds: eight that all arms share, eight of the arm with a second round."""
    assert stages(ran.folder)["draft"] == stages(ran.folder)["critique"] == stages(ran.folder)["refinement"] <= 16
    assert len({(ran.folder / "dataset" / f"{arm}.parquet").read_bytes() for arm in ("own", "general", "wrong")}) == 3


def test_the_same_command_makes_nothing_more(ran: RunResult, recipe_file: Path) -> None:
    before = (ran.folder / "manifest.json").read_text()
    assert pipeline.run(load_recipe([recipe_file]), ran.folder.parent).made == 0
    assert (ran.folder / "manifest.json").read_text() == before


def test_another_control_trains_one_arm_again_and_generates_nothing(ran: RunResult, recipe_file: Path) -> None:
    before = query(ran.folder, GENERATED)
    changed = load_recipe([recipe_file], ["arms.1.critique=answer_only"])
    assert pipeline.run(changed, ran.folder.parent, accept_changes=True, until="training").made == 1
    assert query(ran.folder, GENERATED) == before
