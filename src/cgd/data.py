"""Choose prompts: the training split of one task, the test splits of the evaluation tasks, no overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cgd.config import Recipe
from cgd.errors import UserError
from cgd.plugins import Task, build_task
from cgd.prompts import conversation_text
from cgd.records import Prompt
from cgd.store import Drop
from cgd.text import normalise


class ChosenPrompts(NamedTuple):
    """What the run trains on and is tested on."""

    training: list[Prompt]
    held_out: list[Prompt]
    evaluation: dict[str, list[Prompt]]
    tasks: dict[str, Task]
    drops: list[Drop]


def choose_prompts(recipe: Recipe) -> ChosenPrompts:
    """Load every split that the recipe names.

    A training prompt that, apart from case and white space, is also a test prompt is left out, and so is one that is
    held out for choosing checkpoints.

    Raises:
        UserError: a task's data is missing, malformed or empty, or nothing is left to train on.
    """
    wanted = recipe.training.held_out if recipe.training.select == "held_out" else 0
    n = None if recipe.data.n is None else recipe.data.n + wanted
    loaded = build_task(recipe.data.task, recipe.data.options).load("train", n, recipe.seed)
    if len(loaded) <= wanted or (n is not None and len(loaded) < n and wanted):
        raise UserError(f"data.n and training.held_out ask for more prompts than the {len(loaded)} there are")
    training, held_out = loaded[: len(loaded) - wanted], loaded[len(loaded) - wanted :]
    tasks, evaluation = load_benchmarks(recipe)
    held_out, _ = without_test_prompts(held_out, evaluation)
    kept, drops = without_test_prompts(training, {"checkpoint selection": held_out} | evaluation)
    if not kept:
        raise UserError(f"data.task {recipe.data.task!r}: every one of {len(training)} prompts is also a test prompt")
    return ChosenPrompts(kept, held_out, evaluation, tasks, drops)


def load_benchmarks(recipe: Recipe) -> tuple[dict[str, Task], dict[str, list[Prompt]]]:
    """The evaluation tasks and their test prompts, by label.

    Raises:
        UserError: a task's data is missing, malformed or empty.
    """
    tasks = {task.label: build_task(task.task, task.options) for task in recipe.evaluation.tasks}
    return tasks, {task.label: tasks[task.label].load("test", task.n, recipe.seed) for task in recipe.evaluation.tasks}


def without_test_prompts(
    training: Sequence[Prompt], evaluation: Mapping[str, Sequence[Prompt]]
) -> tuple[list[Prompt], list[Drop]]:
    """Training prompts that occur in no test split, and the others as drops."""
    seen = {_identity(prompt): label for label, prompts in evaluation.items() for prompt in prompts}
    kept = [prompt for prompt in training if _identity(prompt) not in seen]
    drops = [
        Drop(prompt.id, f"also a test prompt of {seen[_identity(prompt)]}")
        for prompt in training
        if _identity(prompt) in seen
    ]
    return kept, drops


def _identity(prompt: Prompt) -> str:
    return normalise(conversation_text(prompt.messages))
