"""Checkpoint × task → predictions and per-item grades, given x alone; no averages here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cgd.config import EvaluationConfig, Recipe
from cgd.grading import GRADER, GradingItem, grade_many
from cgd.plugins import Backend, Task
from cgd.records import Prompt, Record, Request, make_request
from cgd.runfolder import RunFolder
from cgd.sampling import sample
from cgd.spending import Spending
from cgd.store import Store


def requests(
    prompts: Sequence[Prompt],
    config: EvaluationConfig,
    identity: Mapping[str, Any],
    seed: int,
    label: str | None = None,
) -> list[Request]:
    """One request a prompt and sample: the student sees the prompt alone.

    Args:
        prompts: of one benchmark.
        config: the recipe's evaluation section.
        identity: of the backend that is asked.
        seed: the recipe's.
        label: the benchmark's; where None the section's own options count.
    """
    sampling, samples = config.answers(label)
    return [
        make_request("prediction", Record(prompt), prompt.messages, sampling, identity, seed, sample)
        for prompt in prompts
        for sample in range(samples)
    ]


def predict_and_grade(  # noqa: PLR0913 - whose answers to what, by which rule
    folder: RunFolder,
    recipe: Recipe,
    backend: Backend,
    asked: Sequence[Request],
    task: Task,
    title: str,
) -> int:
    """Make and grade what is missing of a checkpoint's answers; returns how many replies and grades were made."""
    sampled = sample(
        folder.store,
        backend,
        asked,
        title=title,
        max_failed_share=recipe.max_failed_share,
        spending=Spending(recipe.budget, recipe.checkpoint_price),
    )
    return sampled.made + grade_predictions(folder.store, asked, task)


def grade_predictions(store: Store, requests: Sequence[Request], task: Task) -> int:
    """Grade what has no verdict of the present grader yet; returns how many were graded.

    A prediction that failed to be generated gets no grade: it is unscored, not wrong.
    """
    replies = store.replies([request.key for request in requests])
    done = store.graded(list(replies), GRADER)
    items = {
        request.key: GradingItem(replies[request.key].text or "", prompt.answer, task.rule(prompt))
        for request in requests
        if (prompt := request.record.prompt).answer
        and request.key not in done
        and replies[request.key].text is not None
    }
    if items:
        grades = grade_many(list(items.values()))
        store.add_grades(dict(zip(items, grades, strict=True)), GRADER)
    return len(items)
