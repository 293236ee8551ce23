"""Run with: pytest -m slow tests/integration/test_real_run.py. The shipped recipe, shortened, with real weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.integration.folder import REPOSITORY, query
from tests.llama_server import llama_server

SHORT = {
    "name": "short",
    "student.model": "smollm2-135m-instruct",
    "student.options.batch_size": "8",
    "data.n": "16",
    "draft.max_tokens": "32",
    "training.steps": "2",
    "training.batch_size": "4",
    "evaluation.max_tokens": "32",
    "evaluation.tasks.0.n": "8",
}


LLM_TEACHER = {
    "name": "taught",
    "data.n": "8",
    "draft.max_tokens": "32",
    "critique.max_tokens": "48",
    "critique.retry_max_tokens": "96",
    "refinement.max_tokens": "32",
    "refinement.truncated": '"keep"',
    "training.steps": "2",
    "training.batch_size": "4",
    "evaluation.max_tokens": "16",
    "evaluation.tasks.0.n": "4",
}


def cgd_run(
    runs: Path, cache_of_the_user: str | None, recipe: str = "quickstart", changes: Mapping[str, str] = SHORT
) -> subprocess.CompletedProcess[str]:
    settings = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "cgd.cli", "run", f"configs/{recipe}.toml", "--runs", str(runs), *settings]
    environment = environment_of(cache_of_the_user)
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=environment)


def environment_of(cache_of_the_user: str | None) -> dict[str, str]:
    """The environment with the user's own cache of weights."""
    environment = {key: value for key, value in os.environ.items() if key != "CGD_CACHE"}
    return environment if cache_of_the_user is None else environment | {"CGD_CACHE": cache_of_the_user}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_quickstart_recipe_runs_from_the_command_line(tmp_path: Path, cache_of_the_user: str | None) -> None:
    """16 prompts, 2 steps, 8 test prompts with SmolLM2-135M-Instruct; then again, with nothing left to do."""
    done = cgd_run(tmp_path, cache_of_the_user)
    folder = tmp_path / "short"
    assert done.returncode == 0, done.stderr
    assert f"done: {folder / 'report' / 'index.html'}" in done.stdout
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr
    for name in ("index.html", "report.md"):
        assert "cgd" in (folder / "report" / name).read_text(encoding="utf-8")

    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert list(summary["arms"]) == ["base", "cgd"]
    for arm in summary["arms"].values():
        assert (arm["n"], arm["failed"], arm["unscored"]) == (8, 0, 0)
        assert 0 <= arm["ci95"][0] <= arm["strict_accuracy"] <= arm["ci95"][1] <= 1
        assert 1 <= arm["mean_tokens"] <= 32
    assert summary["paired"]["cgd-base"]["n"] == 8
    for stage in ("draft", "critique", "refinement"):
        counts = summary["generation"][stage]
        assert counts["done"] + counts["truncated"] == 16 and counts["failed"] == 0
    (account,) = summary["training"]
    assert (account["arm"], account["rows"], account["steps"]) == ("cgd", 16, 2)
    assert 0 < account["final_loss"] < 5, "a pre-trained student finds the refinements likely"

    started = time.monotonic()
    again = cgd_run(tmp_path, cache_of_the_user)
    seconds = time.monotonic() - started
    assert again.returncode == 0, again.stderr
    assert f"nothing to do: {folder} is complete" in again.stdout
    assert seconds < 10, "on an idle machine it is less than 3"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_language_model_behind_a_server_teaches_from_prompts_to_report(
    tmp_path: Path, cache_of_the_user: str | None
) -> None:
    """A weak teacher, SmolLM2 itself: what can't be parsed and what its critiques say is counted, whatever it is."""
    with llama_server(4, environment_of(cache_of_the_user)) as url:
        changes = LLM_TEACHER | {"teacher.options.base_url": f'"{url}"'}
        done = cgd_run(tmp_path, cache_of_the_user, "llm_teacher", changes)
    folder = tmp_path / "taught"
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    critiques = summary["generation"]["critique"]
    assert critiques["done"] + critiques["truncated"] + critiques["failed"] == 8
    assert sum(critiques["verdicts"].values()) == 8 - critiques["failed"]
    dropped = sum(drop["n"] for drop in summary["drops"])
    assert summary["training"][0]["rows"] == 8 - dropped
    spent = summary["spend"]["stages"]["critique"]
    assert spent["rows"] >= 8 and spent["prompt_tokens"] > 8 * 100
    assert query(folder, "SELECT DISTINCT server FROM replies WHERE stage = 'critique'") == [(url,)]
    report = (folder / "report" / "report.md").read_text(encoding="utf-8")
    assert "Critiques by verdict" in report and "Spent, on every attempt" in report
