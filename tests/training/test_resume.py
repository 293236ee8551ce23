"""Run with: pytest tests/training/test_resume.py. Trainings that are killed, and trainings over two processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cgd.config import TrainingConfig
from cgd.training.completion_only import IGNORED, EncodedRow
from cgd.training.scratch import close_scratch, mark_whole, newest_state, open_scratch
from cgd.training.sft import train

STEPS = 12
ROWS = [EncodedRow([5 + n, 6, 7, 8 + n] * (n + 1), [IGNORED, 6, 7, 8 + n] * (n + 1)) for n in range(7)]
ORDER = [ROWS[(3 * place) % 7] for place in range(4 * STEPS)]


def config(**changes: Any) -> TrainingConfig:
    return TrainingConfig.model_validate({"batch_size": 4, "learning_rate": 1e-2, "save_steps": 3, **changes})


def main(student: str, out: str, method: str, pause: str) -> None:
    """A training in a process of its own, slow enough to be killed."""
    from cgd.training.trainer import PackedTrainer

    step = PackedTrainer.training_step

    def slow_step(*arguments: Any) -> Any:
        time.sleep(float(pause))
        return step(*arguments)

    setattr(PackedTrainer, "training_step", slow_step)  # noqa: B010 - mypy knows its type
    train(ORDER, Path(student), Path(out), config(method=method), 0, "train", key="job")


def command(student: Path, out: Path, method: str, pause: float) -> list[str]:
    return ["-m", "tests.training.test_resume", str(student), str(out), method, str(pause)]


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    tensors: dict[str, Any] = load_file(folder / "model.safetensors")
    return tensors


def largest_difference(one: Path, other: Path) -> float:
    a, b = weights(one), weights(other)
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_training_killed_twice_ends_with_the_very_weights_of_an_unbroken_one(
    student: Path, tmp_path: Path, method: str
) -> None:
    """States after steps 3, 6 and 9 of 12; killed as soon as the first and the next one are there, then let go on."""
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    for _ in range(2):
        before = newest_whole(broken)
        process = subprocess.Popen([sys.executable, *command(student, broken, method, 0.4)])
        while newest_whole(broken) == before and process.poll() is None:
            time.sleep(0.02)
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
    resumed_from = newest_whole(broken)
    assert resumed_from is not None and resumed_from >= 6
    account = train(ORDER, student, broken, config(method=method), 0, "train", key="job")
    expected = train(ORDER, student, unbroken, config(method=method), 0, "train", key="job")
    assert largest_difference(broken, unbroken) == 0.0
    assert [entry["loss"] for entry in account["log"]] == [entry["loss"] for entry in expected["log"]]
    assert account["seconds"] > 3 * 0.4, "the steps of earlier attempts count"
    assert sorted(file.name for file in broken.iterdir()) == sorted(file.name for file in student.iterdir())


def newest_whole(out: Path) -> int | None:
    steps = [int(marker.parent.name.rpartition("-")[2]) for marker in out.glob("checkpoint-*/whole")]
    return max(steps, default=None)


def test_two_processes_make_the_weights_of_one(student: Path, tmp_path: Path) -> None:
    """Gradients are summed in another order, no more: weights agree to 1e-5 after 12 steps of up to 1e-2.

    Steps have 4 rows; the first optimizer step of both is over the same four, so their losses are the same.
    """
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [*launch, *command(student, tmp_path / "two", "full", 0.0)]
    subprocess.run(both, check=True, env=environment, timeout=240)
    train(ORDER, student, tmp_path / "one", config(), 0, "train", key="job")
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 1e-4


def state(out: Path, step: int) -> Path:
    folder = out / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "optimizer.pt").write_text("numbers")
    return folder


def test_a_half_written_state_is_thrown_away_and_the_whole_one_before_it_is_taken(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert open_scratch(out, "job") is None
    whole, half = state(out, 8), state(out, 12)
    (whole / "whole").touch()
    assert open_scratch(out, "job") == whole
    assert not half.exists()


def test_states_are_ordered_by_step_and_a_whole_one_replaces_earlier_ones(tmp_path: Path) -> None:
    """As text "9" comes after "10"."""
    for step in (9, 10):
        (state(tmp_path, step) / "whole").touch()
    assert newest_state(tmp_path) == tmp_path / "checkpoint-10"
    mark_whole(tmp_path, 10)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-10"]


@pytest.mark.parametrize(("before", "now"), [("job", "another job"), ("", ""), ("job", "")])
def test_what_another_job_left_is_deleted(tmp_path: Path, before: str, now: str) -> None:
    out = tmp_path / "out"
    open_scratch(out, before)
    (state(out, 4) / "whole").touch()
    assert open_scratch(out, now) is None
    assert not list(out.glob("checkpoint-*"))


def test_a_finished_training_leaves_nothing_but_the_model(tmp_path: Path) -> None:
    open_scratch(tmp_path / "out", "job")
    state(tmp_path / "out", 4)
    (tmp_path / "out" / "model.safetensors").touch()
    close_scratch(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.safetensors"]


if __name__ == "__main__":
    main(*sys.argv[1:])
