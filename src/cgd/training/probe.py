"""A short training in a process of its own: seconds a step and peak memory. The trained weights are thrown away.

`python -m cgd.training.probe` reads one JSON object from its input (student, training, rows, scratch) and writes one.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cgd.config import TrainingConfig
from cgd.training.completion_only import EncodedRow
from cgd.training.sft import train

_NEVER = 10**9  # steps between states
_STEPS = (1, 3)  # two trainings: their difference is free of loading and saving


def peak_gib() -> float | None:
    """Most memory that this process has held so far, in GiB; None where the system does not say (no Linux)."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kib) / 2**20


def probe(job: dict[str, Any]) -> dict[str, Any]:
    """Train twice, a few steps each, on rows repeated until they fill the batches.

    Args:
        job: `student` (folder), `training` (the recipe's section), `rows` (pairs of ids and labels) and `scratch`
            (folder that takes the weights for a moment).

    Returns:
        `fixed_s` (loading and saving), `step_s`, both in seconds, and `peak_gib`.
    """
    config = TrainingConfig.model_validate(job["training"])
    rows = [EncodedRow(*row) for row in job["rows"]]
    rows *= config.batch_size * max(_STEPS) // len(rows) + 1
    seconds = []
    for steps in _STEPS:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=job["scratch"], prefix="trial.") as scratch:
            short = config.model_copy(update={"steps": steps, "save_steps": _NEVER, "report_to": ()})
            enough = rows[: config.batch_size * steps]
            train(enough, Path(job["student"]), Path(scratch) / "model", short, 0, "trial training")
        seconds.append(time.perf_counter() - started)
    step_s = max(0.0, seconds[1] - seconds[0]) / (_STEPS[1] - _STEPS[0])
    return {"fixed_s": max(0.0, seconds[0] - _STEPS[0] * step_s), "step_s": step_s, "peak_gib": peak_gib()}


if __name__ == "__main__":
    print(json.dumps(probe(json.load(sys.stdin))))
