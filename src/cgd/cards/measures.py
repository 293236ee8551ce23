"""What a checkpoint's card says beside its own benchmarks: lm-evaluation-harness, and refining its own answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cgd.config import Recipe
from cgd.report.tables import percent, percent_range, points, points_range

_ABSENT = "–"


def harness_results(recipe: Recipe, summary: Mapping[str, Any], arm: str, seed: int) -> dict[str, dict[str, Any]]:
    """By task of lm-evaluation-harness what this very checkpoint reached; under `base` the base student's scores."""
    several = len(recipe.training.seeds) > 1
    own, base = (f"{name} seed {k}" if several else name for name, k in ((arm, seed), ("base", 0)))
    return {
        task: {**students[own], "base": students.get(base, {}).get("scores", {})}
        for task, students in summary.get("harness", {}).items()
        if own in students
    }


def harness_rows(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a task and metric."""
    return [
        {
            "task": task,
            "metric": metric,
            "value": _with_error(score),
            "base": _with_error(result["base"].get(metric)),
            "n": result["n"],
        }
        for task, result in results.items()
        for metric, score in result["scores"].items()
    ]


def _with_error(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return _ABSENT
    return f"{score['value']:.4f}" + ("" if score["stderr"] is None else f" ± {score['stderr']:.4f}")


def refinement_rows(summary: Mapping[str, Any], arm: str) -> list[dict[str, Any]]:
    """One row a benchmark and round of self-refinement, over all trainings of the arm."""
    return [
        {
            "task": task,
            "round": one["round"],
            "once": f"{percent(one['one_pass']['strict_accuracy'])} ({percent_range(one['one_pass']['ci95'])})",
            "refined": f"{percent(one['refined']['strict_accuracy'])} ({percent_range(one['refined']['ci95'])})",
            "difference": f"{points(one['difference'])} ({points_range(one['ci95'])})",
            "tokens": f"{one['one_pass']['generated']:,.1f}, {one['refined']['generated']:,.1f}",
            "n": one["n"],
        }
        for task, arms in summary.get("self_refine", {}).items()
        for one in arms.get(arm, ())
        if one["n"]
    ]
