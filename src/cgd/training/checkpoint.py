"""A checkpoint folder is whole or absent, and says what it was trained from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cgd.config import TrainingConfig
from cgd.records import content_hash

_STAMP = "cgd.json"
# What only decides which arms are trained or evaluated, when training is refused, what is told to whom, or how much
# memory it takes.
_NOT_IN_KEY = {
    *("seeds", "max_overlength_share", "micro_batch_size", "gradient_checkpointing"),
    *("save_steps", "report_to", "select", "held_out"),
}


class Stamp(NamedTuple):
    """Written into a checkpoint folder: its key, the rows left out for length, the trainer's account."""

    key: str
    left_out: list[str]
    info: dict[str, Any]


def checkpoint_key(rows_hash: str, config: TrainingConfig, seed: int, student_hash: str) -> str:
    """Hash of everything that decides a checkpoint's weights."""
    settings = config.model_dump(exclude=_NOT_IN_KEY)
    return content_hash({"rows": rows_hash, "training": settings, "seed": seed, "student": student_hash})


def read_stamp(folder: Path) -> Stamp | None:
    """The stamp of a published checkpoint; None where there is no whole one."""
    try:
        return Stamp(**json.loads((folder / _STAMP).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def find(folder: Path, key: str, left_out: Sequence[str]) -> Stamp | None:
    """The stamp of the checkpoint with this key, if it stands in its place or was once replaced there.

    One that was replaced is put back, so that going back to an earlier recipe trains nothing again.
    """
    for place in (folder, _aside(folder, key)):
        stamp = read_stamp(place)
        if stamp is not None and stamp.key == key and stamp.left_out == list(left_out):
            if place != folder:
                _set_aside(folder)
                place.rename(folder)
            return stamp
    return None


def publish(scratch: Path, folder: Path, key: str, left_out: Sequence[str], info: Mapping[str, Any]) -> None:
    """Stamp a finished checkpoint and move it to its place; one that stood there is kept beside it."""
    (scratch / _STAMP).write_text(json.dumps({"key": key, "left_out": list(left_out), "info": dict(info)}))
    _set_aside(folder)
    scratch.rename(folder)


def _set_aside(folder: Path) -> None:
    if folder.exists():
        stamp = read_stamp(folder)
        aside = _aside(folder, stamp.key if stamp else "unknown")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)


def _aside(folder: Path, key: str) -> Path:
    return folder.with_name(f"{folder.name}.replaced-{key[:8]}")
