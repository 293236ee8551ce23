"""Run with: pytest tests/training/test_disk.py. The kernel itself refuses to write, by a limit on the size of files."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cgd.errors import StoppedError
from cgd.training import scratch, trainer
from cgd.training.disk import disk_faults_stop
from cgd.training.scratch import newest_state
from cgd.training.sft import train
from tests.training.test_resume import ORDER, config, largest_difference

SMALL = 20_000  # bytes; the weights of the tiny student take more


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_stops_the_training_and_the_same_command_goes_on(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of step 3 is saved, the one of step 6 does not fit; in the end the weights are an unbroken run's."""
    mark_whole = scratch.mark_whole
    limits = files_up_to(SMALL)

    def no_more_room(*arguments: Any) -> None:
        mark_whole(*arguments)
        if arguments[1] == 3:
            limits.__enter__()

    out, unbroken = tmp_path / "seed0", tmp_path / "unbroken"
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "mark_whole", no_more_room)
        try:
            with pytest.raises(StoppedError, match="Is the disk full?"):
                train(ORDER, student, out, config(), 0, "train", key="job")
        finally:
            limits.__exit__(None, None, None)
    kept = newest_state(out)
    assert kept is not None and kept.name.endswith("-3")
    train(ORDER, student, out, config(), 0, "train", key="job")
    train(ORDER, student, unbroken, config(), 0, "train")
    assert largest_difference(out, unbroken) == 0.0


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EIO, "I/O error")])
def test_faults_of_the_disk_are_stops(error: OSError, tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match="make room"), disk_faults_stop(tmp_path):
        raise error


@pytest.mark.parametrize("error", [ValueError("no"), OSError(errno.ENOENT, "No such file"), RuntimeError("os error 2")])
def test_any_other_error_stays_what_it_is(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as caught, disk_faults_stop(tmp_path):
        raise error
    assert caught.value is error
