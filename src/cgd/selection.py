"""Which of a training's kept checkpoints counts: the last one, or the best on prompts that no report uses.

One rule for all arms and seeds. The best is the one with the most strictly right answers to the held-out prompts, given
x alone; among equals the later one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cgd import evaluation
from cgd.config import Recipe
from cgd.grading import GRADER
from cgd.plugins import Task
from cgd.records import Prompt
from cgd.resolve import checkpoint_backend
from cgd.runfolder import RunFolder

Job = tuple[str, int]  # arm and seed


class Selected(NamedTuple):
    """The checkpoint of each arm and seed that is evaluated, and how many replies and grades were made to find it."""

    places: dict[Job, Path]
    made: int


def select_checkpoints(folder: RunFolder, recipe: Recipe, prompts: Sequence[Prompt], task: Task) -> Selected:
    """Choose by the recipe's rule; scores of the candidates go into the account of the training.

    Args:
        folder: the run, with every arm trained.
        recipe: its recipe.
        prompts: held out of the training; empty where the last checkpoint counts.
        task: grades their answers.
    """
    places = {
        (arm.name, seed): folder.checkpoint(arm.name, seed) for arm in recipe.arms for seed in recipe.training.seeds
    }
    if not prompts:
        return Selected(places, 0)
    made = 0
    folder.store.add_prompts(prompts)
    for job, last in places.items():
        right: dict[Path, int] = {}
        for place in (*sorted(last.glob("step-*")), last):
            made_here, right[place] = _right_answers(folder, recipe, prompts, task, job, place)
            made += made_here
        places[job] = max(right, key=lambda place: (right[place], list(right).index(place)))
        scores = {place.name if place != last else "last": count / len(prompts) for place, count in right.items()}
        folder.store.note_selection(job, "last" if places[job] == last else places[job].name, scores)
    return Selected(places, made)


def _right_answers(  # noqa: PLR0913 - one candidate of one arm and seed
    folder: RunFolder, recipe: Recipe, prompts: Sequence[Prompt], task: Task, job: Job, place: Path
) -> tuple[int, int]:
    """Replies and grades made for a candidate, and how many of its answers are strictly right."""
    arm, seed = job
    backend = checkpoint_backend(recipe, str(place))
    requests = evaluation.requests(prompts, recipe.evaluation, backend.identity, recipe.seed)
    folder.store.set_current("selection", requests, task=place.name, arm=arm, seed=seed)
    with folder.timed("selection"):
        title = f"choose among {arm} seed {seed}: {place.name}"
        made = evaluation.predict_and_grade(folder, recipe, backend, requests, task, title)
    backend.close()
    verdicts = folder.store.graded([request.key for request in requests], GRADER)
    return made, sum(strict is True for strict in verdicts.values())
