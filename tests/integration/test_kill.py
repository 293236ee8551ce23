"""Run with: pytest tests/integration/test_kill.py."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from cgd import cli
from cgd.pipeline import RunResult
from cgd.status import read_status
from cgd.store import Store
from tests.integration.folder import REPOSITORY, decided, query, stages


def kill_inside(stage: str, recipe_file: Path, runs: Path, marker: Path) -> None:
    """Run the command line, and kill it without warning as soon as it is inside the stage."""
    command = [sys.executable, "-m", "tests.integration.stall", stage, str(marker)]
    process = subprocess.Popen(
        [*command, "run", str(recipe_file), "--runs", str(runs)], cwd=REPOSITORY, stderr=subprocess.DEVNULL
    )
    try:
        patience = time.monotonic() + 120
        while not marker.exists():
            assert process.poll() is None and time.monotonic() < patience, "it never came to the stage"
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()


def where(folder: Path) -> tuple[str, dict[str, tuple[str, bool]]]:
    """What `cgd status` knows: the run's state, and by arm the training's and whether all steps are done."""
    with closing(Store(folder / "run.sqlite")) as store:
        found = read_status(folder, store)
    return found.state, {row.arm: (row.state, row.step == row.steps) for row in found.training}


def test_a_run_that_is_killed_again_and_again_ends_like_an_unbroken_one(
    finished: RunResult, recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL among the drafts, among the steps of a training, among the predictions; then the same command."""
    runs, folder = tmp_path / "runs", tmp_path / "runs" / "tiny"
    kill_inside("draft", recipe_file, runs, tmp_path / "drafting")
    assert 0 < stages(folder)["draft"] < 8 and stages(folder)["critique"] == 0
    drafts = set(query(folder, "SELECT key, stored_at FROM replies"))

    kill_inside("train sft", recipe_file, runs, tmp_path / "training")
    assert stages(folder) == {"draft": 8, "critique": 8, "refinement": 8}
    assert (folder / "checkpoints" / "cgd" / "seed0" / "cgd.json").is_file()
    assert not (folder / "checkpoints" / "sft" / "seed0").exists()
    trained = (folder / "checkpoints" / "cgd" / "seed0" / "model.safetensors").stat().st_mtime_ns

    assert where(folder) == ("stopped", {"cgd": ("trained", True), "sft": ("begun", False)})

    kill_inside("evaluate cgd", recipe_file, runs, tmp_path / "evaluating")
    assert 6 < stages(folder)["prediction"] < 12 and not (folder / "summary.json").exists()

    cli.app(["run", str(recipe_file), "--runs", str(runs)], standalone_mode=False)
    assert f"done: {folder / 'report' / 'index.html'}" in capsys.readouterr().out
    assert decided(folder) == decided(finished.folder)
    assert drafts <= set(query(folder, "SELECT key, stored_at FROM replies")), "committed replies were not made again"
    assert query(folder, "SELECT MAX(attempts) FROM replies") == [(1,)]
    assert (folder / "checkpoints" / "cgd" / "seed0" / "model.safetensors").stat().st_mtime_ns == trained
    names = {str(path.relative_to(finished.folder)) for path in finished.folder.rglob("*")}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*")} == names, "nothing half-made stays"
    for part in ("arms", "paired", "generation", "drops"):
        assert json.loads((folder / "summary.json").read_text())[part] == finished.summary[part]
    cli.app(["run", str(recipe_file), "--runs", str(runs)], standalone_mode=False)
    assert f"nothing to do: {folder} is complete" in capsys.readouterr().out
    assert where(folder) == ("finished", {"cgd": ("trained", True), "sft": ("trained", True)})
