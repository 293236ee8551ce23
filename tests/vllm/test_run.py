"""Run with: make test-vllm. Generation in vLLM's environment, training in the project's, on one run folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.backends.real_weights import MODEL
from tests.integration.folder import REPOSITORY, query, stages
from tests.vllm import NEEDS_VLLM, without_test_cache

pytestmark = NEEDS_VLLM
TRAINER = REPOSITORY / ".venv" / "bin" / "cgd"
RECIPE = f"""
max_failed_share = 0
[data]
task = "arithmetic"
n = 8
[student]
backend = "vllm"
model = "{MODEL}"
[student.options]
dtype = "float32"
max_model_len = 1024
max_num_seqs = 4
engine = {{ enforce_eager = true, kv_cache_memory_bytes = 268435456 }}
[teacher]
backend = "vllm"
model = "{MODEL}"
[teacher.options]
dtype = "float32"
max_model_len = 1024
engine = {{ enforce_eager = true, kv_cache_memory_bytes = 268435456 }}
[draft]
max_tokens = 24
[critique]
max_tokens = 24
truncated = "keep"
[refinement]
max_tokens = 32
truncated = "keep"
[[arms]]
name = "cgd"
objective = "cgd"
[training]
steps = 1
batch_size = 2
[evaluation]
backend = "hf"
max_tokens = 16
[[evaluation.tasks]]
task = "arithmetic"
n = 2
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "taught.toml"
    path.write_text(RECIPE)
    return path


def command(recipe: Path, *words: str) -> list[str]:
    return ["run", str(recipe), "--runs", str(recipe.parent / "runs"), *words]


def test_what_vllm_generated_is_trained_on_without_vllm(recipe: Path, cache_of_the_user: str | None) -> None:
    """8 prompts through three stages here; then one training step and 2 test prompts where there is no vLLM."""
    environment = without_test_cache(cache_of_the_user)
    here = [sys.executable, "-m", "cgd.cli", *command(recipe, "--until", "refinement")]
    done = subprocess.run(here, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    folder = recipe.parent / "runs" / "taught"
    assert stages(folder) == {"draft": 8, "critique": 8, "refinement": 8}
    generated = query(folder, "SELECT key, text, backend, attempts FROM replies ORDER BY key")
    assert all(json.loads(backend)["backend"] == "vllm" and text for _, text, backend, _ in generated)

    if not TRAINER.exists():
        pytest.skip("there is no .venv to train in: make install")
    there = subprocess.run(
        [str(TRAINER), *command(recipe)], capture_output=True, text=True, check=False, env=environment
    )
    assert there.returncode == 0, there.stderr[-4000:]
    assert stages(folder) == {"draft": 8, "critique": 8, "refinement": 8, "prediction": 4}
    kept = query(folder, "SELECT key, text, backend, attempts FROM replies WHERE stage != 'prediction' ORDER BY key")
    assert kept == generated
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert set(summary["arms"]) == {"base", "cgd"}
    (account,) = summary["training"]
    assert (account["rows"], account["steps"]) == (8, 1)


def started(recipe: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """A run in a process group of its own, as a terminal would have it, after its first drafts."""
    here = [sys.executable, "-m", "cgd.cli", *command(recipe, "--until", "draft", "--set", "data.n=96")]
    process = subprocess.Popen(here, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline and not drafts(recipe):
        time.sleep(0.1)
    assert process.poll() is None and drafts(recipe)
    return process


def drafts(recipe: Path) -> int:
    folder = recipe.parent / "runs" / "taught"
    return stages(folder)["draft"] if (folder / "manifest.json").exists() else 0


def members(group: int) -> str:
    """Processes of a group that still live."""
    listed = subprocess.run(["ps", "-e", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=False).stdout
    mine = [line for line in listed.splitlines() if line.split()[0] == str(group)]
    return "\n".join(line for line in mine if not line.split()[1].startswith("Z"))


def test_ctrl_c_waits_for_what_is_in_flight(recipe: Path, cache_of_the_user: str | None) -> None:
    """The signal goes to every process of the terminal, the engine's among them: no draft fails, none is cut short."""
    with started(recipe, without_test_cache(cache_of_the_user)) as process:
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors[-4000:]
    assert "waiting for what is in flight" in errors and "Traceback" not in errors
    folder = recipe.parent / "runs" / "taught"
    assert 0 < drafts(recipe) < 96
    assert {state for (state,) in query(folder, "SELECT state FROM replies")} <= {"done", "truncated"}


def test_a_killed_run_leaves_no_engine_behind(recipe: Path, cache_of_the_user: str | None) -> None:
    """The engine's process would hold the GPU that the same command needs to continue."""
    with started(recipe, without_test_cache(cache_of_the_user)) as process:
        assert "VLLM::" in members(process.pid)
        process.kill()
    deadline = time.monotonic() + 60
    while members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert members(process.pid) == ""
