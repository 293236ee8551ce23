"""What a checkpoint's card says: its own results, how it was made, what binds it, what it was not tested for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cgd.analysis.tasks import summarise_task
from cgd.benchmark_rows import Benchmark
from cgd.cards.measures import harness_results, harness_rows, refinement_rows
from cgd.cards.terms import hub_id, known_terms, output_terms, public_name
from cgd.config import Recipe
from cgd.plugins import build_objective, build_task
from cgd.report.tables import percent, percent_range, points, points_range
from cgd.store import Store

_PREDICTIONS = """
SELECT task, arm, seed, prompt_id, known_issue, state, completion_tokens, strict, flexible, format, extracted
FROM predictions WHERE arm = 'base' OR (arm = ? AND seed = ?)
"""
_TAUGHT = {"critique", "refinement", "teacher_answer"}

Results = dict[str, dict[str, Any]]


def checkpoint_results(store: Store, arm: str, seed: int) -> Results:
    """Accuracies of one checkpoint and of the base student, and their difference, by benchmark.

    Args:
        store: the run's.
        arm: of the checkpoint.
        seed: of its training; other seeds of the arm have cards of their own.

    Returns:
        By task, as `cgd.analysis.tasks.summarise_task` has it.
    """
    rows = store.query(_PREDICTIONS, (arm, seed))
    labels = dict.fromkeys(row["task"] for row in rows if row["arm"] == arm)
    return {label: summarise_task([row for row in rows if row["task"] == label], ["base", arm]) for label in labels}


def model_metadata(  # noqa: PLR0913 - a card is of one checkpoint of one run
    recipe: Recipe, summary: Mapping[str, Any], arm: str, seed: int, results: Results, licence: str | None
) -> str:
    """The YAML front matter; in its `model-index` strict accuracies in percent, the harness's metrics as they are."""
    from huggingface_hub import EvalResult, ModelCardData

    tasks = {task.label: build_task(task.task, task.options) for task in recipe.evaluation.tasks}
    found = []
    for label, numbers in results.items():
        scores, task = numbers["arms"][arm], tasks.get(label)
        if scores["n"]:
            interval = percent_range(scores["ci95"])
            found.append(
                EvalResult(
                    task_type="text-generation",
                    dataset_type=task.hub.id if isinstance(task, Benchmark) else label,
                    dataset_name=label,
                    dataset_split=task.hub.splits["test"] if isinstance(task, Benchmark) else "test",
                    metric_type="accuracy",
                    metric_name=f"strict accuracy in percent (95% interval {interval}, n = {scores['n']})",
                    metric_value=round(100 * scores["strict_accuracy"], 2),
                )
            )
    for name, result in harness_results(recipe, summary, arm, seed).items():
        for metric, score in result["scores"].items():
            error = "" if score["stderr"] is None else f"standard error {score['stderr']:.4f}, "
            found.append(
                EvalResult(
                    task_type="text-generation",
                    dataset_type=name,
                    dataset_name=f"{name} by lm-evaluation-harness",
                    metric_type=metric.partition(",")[0],
                    metric_name=f"{metric} ({error}n = {result['n']})",
                    metric_value=round(score["value"], 4),
                )
            )
    known = known_terms(recipe.student.model)
    data = build_task(recipe.data.task, recipe.data.options)
    return ModelCardData(
        base_model=hub_id(recipe.student.model),
        datasets=[data.hub.id] if isinstance(data, Benchmark) else None,
        library_name="transformers",
        license=licence or (known.licence if known else None),
        pipeline_tag="text-generation",
        tags=["critique-guided-distillation", "cgd", "arxiv:2505.11628"],
        model_name=f"{recipe.name}-{arm}-seed{seed}",
        eval_results=found or None,
    ).to_yaml()


def model_facts(  # noqa: PLR0913 - a card is of one checkpoint of one run
    recipe: Recipe, manifest: Mapping[str, Any], summary: Mapping[str, Any], arm: str, seed: int, results: Results
) -> dict[str, Any]:
    """Values of `model.md.jinja`."""
    section = next(one for one in recipe.arms if one.name == arm)
    account = next(one for one in summary["training"] if (one["arm"], one["seed"]) == (arm, seed))
    taught = bool(build_objective(section.objective, section.options).needs & _TAUGHT) and recipe.teacher is not None
    teacher = recipe.teacher if taught else None
    known = known_terms(recipe.student.model)
    harness = harness_results(recipe, summary, arm, seed)
    return {
        "name": f"{recipe.name}, arm {arm}, seed {seed}",
        "base": public_name(recipe.student.model),
        "objective": section.objective,
        "teacher": public_name(teacher.model or teacher.backend) if teacher else None,
        "task": recipe.data.task,
        "training": recipe.training,
        "account": account,
        "cgd_version": manifest["cgd_version"],
        "results": [_row(label, numbers, arm) for label, numbers in results.items()],
        "harness": harness_rows(harness),
        "refinements": refinement_rows(summary, arm),
        "trainings": sum(one["arm"] == arm for one in summary["training"]),
        "base_terms": known.outputs if known else None,
        "base_licence": known.licence if known else None,
        "output_terms": output_terms(teacher.backend, teacher.model) if teacher else None,
        "limitations": list(_limitations(recipe, summary, arm, results, harness)),
    }


def _row(label: str, numbers: Mapping[str, Any], arm: str) -> dict[str, Any]:
    own, base = numbers["arms"][arm], numbers["arms"].get("base")
    pair = numbers["paired"].get(f"{arm}-base")
    return {
        "task": label,
        "n": own["n"],
        "strict": f"{percent(own['strict_accuracy'])} ({percent_range(own['ci95'])})",
        "flexible": percent(own["flexible_accuracy"]),
        "base": percent(base["strict_accuracy"]) if base else "–",
        "difference": f"{points(pair['difference'])} ({points_range(pair['ci95'])})" if pair and pair["n"] else "–",
    }


def _limitations(
    recipe: Recipe, summary: Mapping[str, Any], arm: str, results: Results, harness: Results
) -> Iterator[str]:
    measured = [task for task, result in harness.items() if result["scores"]]
    tested = ", ".join(dict.fromkeys([*results, *measured])) or "no benchmark"
    yield f"Tested on {tested} alone; nothing is known of other tasks and languages, nor was its safety examined."
    for label, numbers in results.items():
        own, pair = numbers["arms"][arm], numbers["paired"].get(f"{arm}-base")
        if pair and pair["mdd"] is not None:
            yield f"On {label} differences from the base model under {100 * pair['mdd']:.0f} points can't be seen."
        if own["truncated"]:
            yield f"On {label} {own['truncated']} answers were cut at the limit of new tokens and graded as they stood."
        if own["unscored"] or own["failed"]:
            yield f"On {label} {own['unscored']} answers have no verdict and {own['failed']} were never given."
    if failed := [task for task in harness if task not in measured]:
        yield f"lm-evaluation-harness failed on {', '.join(failed)}."
    trained = sum(one["arm"] == arm for one in summary["training"])
    if trained == 1:
        yield "One training: another order of the rows would give other numbers, by how much is not known."
    else:
        yield f"One of {trained} trainings that differ in their seed alone; each has its own numbers."
    if recipe.teacher and recipe.teacher.backend == "tutor":
        yield "The teacher is a program that knows the worked solutions: what a language model teaches is not shown."
    for label, fields in summary.get("contamination", {}).items():
        overlaps = max((account["n_overlaps"] for account in fields.values()), default=0)
        if overlaps:
            n = max(account["n_tests"] for account in fields.values())
            yield f"{overlaps} of {n} test prompts of {label} share thirteen words in a row with training texts."
