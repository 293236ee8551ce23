"""Standard benchmarks by the standard tool: lm-evaluation-harness on the base student and every selected checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cgd.config import HarnessTaskConfig, Recipe
from cgd.harness import HarnessResult, HarnessTask, evaluate_checkpoint
from cgd.jsonl import expand_path
from cgd.models import model_folder
from cgd.runfolder import RunFolder
from cgd.students import Student

Account = dict[str, dict[str, dict[str, Any]]]


class Standard(NamedTuple):
    """What the harness found, and how many results were made."""

    account: Account
    """By task, then by `arm` or `arm seed N`: `n`, `scores` (value and standard error by metric), `error`."""
    made: int


def run_standard(folder: RunFolder, recipe: Recipe, students: Sequence[Student]) -> Standard:
    """Run what is missing; results lie in `harness/<arm>-seed<k>/` of the run folder, a file a task.

    Args:
        folder: the run.
        recipe: its recipe; without `evaluation.harness` nothing is run.
        students: those whose answers are predictions are asked.

    Raises:
        UserError: lm-evaluation-harness is not installed, there is no such task, or its data don't fit.
    """
    account: Account = {}
    made = 0
    for task in recipe.evaluation.harness:
        for student in (one for one in students if one.stage == "prediction"):
            out = folder.path / "harness" / f"{student.arm}-seed{student.seed}"
            before = set(out.glob("*.json"))
            with folder.timed("harness"):
                result = _run(task, model_folder(student.model), out)
            made += result.file not in before and result.error is None
            name = student.arm if len(recipe.training.seeds) == 1 else f"{student.arm} seed {student.seed}"
            account.setdefault(task.name, {})[name] = _as_json(result)
    return Standard(account, made)


def _run(task: HarnessTaskConfig, checkpoint: Path, out: Path) -> HarnessResult:
    data = expand_path(task.data) if task.data else None
    asked = HarnessTask(task.name, data, task.num_fewshot, task.max_tokens)
    return evaluate_checkpoint(checkpoint, [asked], out, task.limit)[task.name]


def _as_json(result: HarnessResult) -> dict[str, Any]:
    scores = {name: {"value": score.value, "stderr": score.stderr} for name, score in result.scores.items()}
    return {"n": result.n, "scores": scores, "error": result.error}
