"""The folder a training writes to: states from which a killed one goes on, each whole or thrown away."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

_KEY = "job.key"
_WHOLE = "whole"
_PROGRESS = "progress.json"


def open_scratch(out: Path, key: str) -> Path | None:
    """Make the folder ready for a training, and find what an earlier, broken-off one left there.

    Args:
        out: the folder; emptied unless the same training began in it.
        key: names the training; with an empty one nothing is taken over.

    Returns:
        The newest whole state, None where there is none.
    """
    try:
        same = bool(key) and (out / _KEY).read_text() == key
    except OSError:
        same = False
    if not same:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        (out / _KEY).write_text(key)
    return newest_state(out)


def newest_state(out: Path) -> Path | None:
    """The state of the latest step; half-written ones are deleted."""
    for folder in out.glob("checkpoint-*"):
        if not (folder / _WHOLE).exists():
            shutil.rmtree(folder)
    return max(out.glob("checkpoint-*"), key=_step, default=None)


def mark_whole(out: Path, step: int) -> None:
    """Declare the state of a step complete, and delete earlier ones."""
    (out / f"checkpoint-{step}" / _WHOLE).touch()
    for folder in out.glob("checkpoint-*"):
        if _step(folder) < step:
            shutil.rmtree(folder)


def note_progress(out: Path, step: Mapping[str, float | None]) -> None:
    """Leave word of the last step, so that a reader never finds half of it."""
    partial = out / f"{_PROGRESS}.partial"
    partial.write_text(json.dumps(dict(step)))
    partial.replace(out / _PROGRESS)


def close_scratch(out: Path) -> None:
    """Delete everything that only a training that goes on needs."""
    for folder in (*out.glob("checkpoint-*"), *out.glob("adapter-*")):
        shutil.rmtree(folder)
    (out / _KEY).unlink()
    (out / _PROGRESS).unlink(missing_ok=True)


def _step(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])
