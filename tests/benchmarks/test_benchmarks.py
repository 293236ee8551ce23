"""Run with: pytest tests/benchmarks. Each benchmark at a tiny size: it runs, and says what it promises to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import grading

REPOSITORY = Path(__file__).parents[2]


def figures(name: str, *arguments: str) -> dict[str, Any]:
    """The JSON object on the last line."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_startup_measures_both_commands_and_torch_stays_away() -> None:
    found = figures("startup", "--repeats", "1")
    assert found["help_s"] > 0 and found["check_s"] > 0 and found["torch_imported"] is False


def test_store_measures_commits_and_resuming() -> None:
    found = figures("store", "--sizes", "200", "400", "--repeats", "1")
    assert found["rows"] == 400 and found["rows_per_s"] > 0 and found["resume_s"] > 0
    assert found["memory_growth_mb"] < 200 and {"slope", "resume_growth_mb"} <= found.keys()


def test_driver_sets_the_sampling_loop_against_a_bare_one() -> None:
    found = figures("driver", "--pairs", "1", "--stub-rows", "100", "--real-rows", "0", "--no-distilabel")
    assert found["stub_ratio"] == found["stub_rows_per_s"] / found["stub_bare_rows_per_s"] > 0


def test_durability_kills_and_spoils_and_nothing_is_lost() -> None:
    found = figures(
        *("durability", "--kills", "1", "--prompts", "100", "--seed", "1", "--faulty-prompts", "6"),
        *("--faults", "500", "impossible token counts"),
    )
    assert found["kills"] >= 3 and min(found["kills_by_stage"].values()) >= 1
    assert found["fault_classes"] == ["500", "impossible token counts"]
    assert [found[name] for name in ("lost", "doubled", "unaccounted", "left_after_mend")] == [0, 0, 0, 0]


@pytest.mark.slow
def test_driver_measures_at_a_real_server(cache_of_the_user: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if cache_of_the_user is None:
        monkeypatch.delenv("CGD_CACHE")
    else:
        monkeypatch.setenv("CGD_CACHE", cache_of_the_user)
    found = figures(
        "driver", "--pairs", "1", "--stub-rows", "20", "--real-rows", "4", "--slots", "2", "--no-distilabel"
    )
    assert found["real_server_ratio"] > 0


def test_grading_measures_rows_and_hostile_answers() -> None:
    if not grading.DATA.exists():
        pytest.skip(f"no benchmark data at {grading.DATA}; set CGD_DATA")
    found = figures("grading", "--problems", "20")
    assert found["rows"] == 80 and found["rows_per_s"] > 0 and found["within_limit"] == 1
