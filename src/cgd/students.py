"""Whose answers are graded: the base student's, every checkpoint's, and what they make of their own answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cgd import evaluation
from cgd.config import Recipe
from cgd.data import ChosenPrompts
from cgd.plugins import Backend
from cgd.resolve import checkpoint_backend
from cgd.runfolder import RunFolder
from cgd.self_refine import Refiner, refine_answers
from cgd.store import Evaluated, Owner

BASE = "base"


class Student(NamedTuple):
    """A model to be evaluated, and the names under which its answers are kept."""

    stage: Evaluated
    arm: str
    seed: int
    model: str

    def owner(self, task: str) -> Owner:
        """Whose rows its answers to a benchmark are."""
        return Owner(task, self.arm, self.seed)


def students_of(folder: RunFolder, recipe: Recipe, checkpoints: Mapping[tuple[str, int], Path]) -> list[Student]:
    """The base student, each selected checkpoint and, where the recipe asks, those kept along the way (`arm@step`)."""
    base = Student("prediction", BASE, 0, recipe.student.model)
    trained = [Student("prediction", arm, seed, str(place)) for (arm, seed), place in checkpoints.items()]
    if recipe.evaluation.checkpoints == "last":
        return [base, *trained]
    kept = [
        Student("checkpoint", f"{arm}@{int(place.name.removeprefix('step-'))}", seed, str(place))
        for arm, seed in checkpoints
        for place in sorted(folder.checkpoint(arm, seed).glob("step-*"))
    ]
    return [base, *trained, *kept]


def evaluate_students(
    folder: RunFolder, recipe: Recipe, prompts: ChosenPrompts, students: Sequence[Student], teacher: Backend | None
) -> int:
    """Answer and grade every benchmark, given x alone, and refine where the recipe asks.

    Args:
        folder: the run.
        recipe: its recipe.
        prompts: with the benchmarks' prompts.
        students: who answers; what others answered is forgotten, not deleted.
        teacher: the critic of refined answers, where the recipe wants the teacher's.

    Returns:
        How many replies and grades were made.
    """
    answering: dict[Evaluated, list[Student]] = {"prediction": [], "checkpoint": [], "self_refinement": []}
    for student in students:
        answering[student.stage].append(student)
    if recipe.evaluation.self_refine:
        answering["self_refinement"] = answering["prediction"]
    for stage, current in answering.items():
        folder.store.keep_current(stage, [student.owner(task) for student in current for task in prompts.tasks])
    made = 0
    for student in students:
        backend = checkpoint_backend(recipe, student.model)
        with folder.timed("evaluation"):
            for label in prompts.tasks:
                made += _answer(folder, recipe, prompts, student, backend, label, teacher)
        backend.close()
    return made


def _answer(  # noqa: PLR0913 - one student on one benchmark
    folder: RunFolder,
    recipe: Recipe,
    prompts: ChosenPrompts,
    student: Student,
    backend: Backend,
    label: str,
    teacher: Backend | None,
) -> int:
    task, owner = prompts.tasks[label], student.owner(label)
    asked = evaluation.requests(prompts.evaluation[label], recipe.evaluation, backend.identity, recipe.seed, label)
    folder.store.set_current(student.stage, asked, **owner._asdict())
    several = len(recipe.training.seeds) > 1 and student.arm != BASE
    title = f"evaluate {student.arm}{f' seed {student.seed}' if several else ''} on {label}"
    made = evaluation.predict_and_grade(folder, recipe, backend, asked, task, title)
    options = recipe.evaluation.self_refine
    if options is None or student.stage != "prediction":
        return made
    refiner = Refiner(recipe, options, backend, teacher, task, owner)
    return made + refine_answers(folder, refiner, asked)
