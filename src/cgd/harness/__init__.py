"""Standard benchmarks by the standard tool: EleutherAI's lm-evaluation-harness on a model folder.

Every task runs in a process of its own (`cgd.harness.child`), so that neither a crash nor its memory reaches the run.
What it found lies in one JSON file a task, with every item; a finished file is not made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from cgd.errors import UserError
from cgd.grading_instructions import require_checkers, sentence_data
from cgd.models import model_folder, weights_hash
from cgd.records import content_hash

COMMAND = (sys.executable, "-P", "-m", "cgd.harness.child")
FORMAT = 1
"""Raise it with every change to what a result file holds."""


class HarnessTask(NamedTuple):
    """A task, group or tag member as lm-evaluation-harness names it (`lm-eval ls tasks`)."""

    name: str
    data: Path | None = None
    """JSONL that takes the place of the hub's data set (`ifeval`, `mmlu_pro` and its subjects): nothing is downloaded
    and no examples are shown."""
    num_fewshot: int | None = None
    """Examples shown before each question; the task's own number where None."""
    max_tokens: int | None = None
    """Most new tokens of an answer; the task's own number where None."""


class Score(NamedTuple):
    """A metric's mean and its standard error, as the harness computes them."""

    value: float
    stderr: float | None


class HarnessResult(NamedTuple):
    """What one task found."""

    n: int
    """Questions that were answered."""
    scores: Mapping[str, Score]
    """By the harness's name, `<metric>,<filter>`; of a group its aggregate and `<subtask>/<metric>,<filter>`."""
    file: Path
    """The JSON file with every item: its fields, prompt, reply and verdicts."""
    error: str | None = None
    """Why there are no scores: the task's process failed. It is tried again by the next call."""


def evaluate_checkpoint(
    checkpoint: Path, tasks: Sequence[HarnessTask], out: Path, limit: int | None = None, *, batch_size: int = 8
) -> dict[str, HarnessResult]:
    """Run tasks on a model folder, one after the other, each unless its result is there.

    Prompts go through the model's chat template, answers are greedy where the task says so (both named here do), and
    no code of the model or the data set is run.

    Args:
        checkpoint: a complete model folder with safetensors and a chat template.
        tasks: what to run.
        out: folder for result files and logs; made where absent.
        limit: most questions of each task, the first ones; of a group, of each of its subtasks.
        batch_size: questions answered together.

    Returns:
        For each task by name its result.

    Raises:
        UserError: lm-evaluation-harness is not installed, there is no such model or task, or its data don't fit.
    """
    require_checkers()
    folder = model_folder(str(checkpoint)).resolve()
    out.mkdir(parents=True, exist_ok=True)
    results = {}
    for task in tasks:
        key = _key(folder, task, limit)
        file = out / f"{task.name.replace('/', '_')}-{key[:12]}.json"
        error = None
        if not file.is_file():
            error = _run({"checkpoint": str(folder), "limit": limit, "batch_size": batch_size}, task, file)
        results[task.name] = HarnessResult(0, {}, file, error) if error else _read(file)
    return results


def _key(folder: Path, task: HarnessTask, limit: int | None) -> str:
    """Names everything that can change a result: the same key is never run twice."""
    data = None
    if task.data is not None:
        try:
            data = hashlib.sha256(task.data.read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(f"harness task {task.name!r}: can't read {task.data}: {error.strerror}") from error
    return content_hash(
        {
            "format": FORMAT,
            "lm_eval": version("lm_eval"),
            "weights": weights_hash(folder),
            "task": {**task._asdict(), "data": data},
            "limit": limit,
        }
    )


def _run(how: Mapping[str, Any], task: HarnessTask, file: Path) -> str | None:
    """Run one task in its process; returns what went wrong, if anything did.

    Raises:
        UserError: the process says that the user can mend it.
    """
    log = file.with_suffix(".log")
    with tempfile.TemporaryDirectory(prefix="cgd-harness-") as scratch:
        job = Path(scratch) / "job.json"
        data = None if task.data is None else str(task.data.resolve())
        job.write_text(json.dumps({**how, **task._asdict(), "data": data, "file": str(file.resolve())}))
        with (
            log.open("wb") as words,
            subprocess.Popen(
                [*COMMAND, str(job)],
                stdin=subprocess.PIPE,  # closed when this process dies: the child ends too
                stdout=words,
                stderr=subprocess.STDOUT,
                cwd=scratch,
                env=_environment(Path(scratch), offline=data is not None),
                start_new_session=True,  # Ctrl-C reaches this process alone
            ) as child,
        ):
            try:
                status = child.wait()
            except BaseException:
                child.kill()
                raise
    if status == 0:
        return None
    last = (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"])[-1]
    if status == UserError.exit_code:
        raise UserError(f"harness task {task.name!r}: {last}")
    how_it_ended = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return f"{how_it_ended}: {last[:500]} (see {log})"


def _environment(scratch: Path, *, offline: bool) -> dict[str, str]:
    own = {"PYTHONPATH": os.pathsep.join(os.path.abspath(folder) for folder in sys.path)}
    own |= {"NLTK_DATA": str(sentence_data()), "TOKENIZERS_PARALLELISM": "false"}
    if offline:
        own |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(scratch / "datasets")}
    return {**os.environ, **own}


def _read(file: Path) -> HarnessResult:
    found = json.loads(file.read_text(encoding="utf-8"))
    scores = {name: Score(one["value"], one["stderr"]) for name, one in found["scores"].items()}
    return HarnessResult(found["n"], scores, file)
