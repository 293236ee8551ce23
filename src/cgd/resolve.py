"""A recipe's plug-ins, built and validated; nothing is loaded yet."""

from __future__ import annotations

import json
from typing import NamedTuple

from cgd.config import ArmConfig, Recipe
from cgd.errors import UserError
from cgd.plugins import Backend, Objective, build_backend, build_objective, build_task
from cgd.prompts import render
from cgd.records import Prompt, Record, reduce_context


class Resolved(NamedTuple):
    """The plug-ins of a recipe, built and validated; nothing is loaded yet."""

    student: Backend
    teacher: Backend | None
    objectives: dict[str, Objective]
    needs: frozenset[str]


def resolve(recipe: Recipe) -> Resolved:
    """Build every plug-in of a recipe, which validates all options.

    Raises:
        UserError: a wrong plug-in name or option, a faulty prompt file, or a teacher is needed and there is none.
    """
    objectives = {arm.name: build_objective(arm.objective, arm.options) for arm in recipe.arms}
    needs = frozenset[str]().union(*(objective.needs for objective in objectives.values()))
    from_teacher = {"critique", "refinement", "teacher_answer"}
    taught = sorted(name for name, objective in objectives.items() if objective.needs & from_teacher)
    if taught and recipe.teacher is None:
        raise UserError(f"arms {', '.join(taught)} learn from a teacher, and the recipe has no [teacher] section")
    refining = recipe.evaluation.self_refine
    criticised = refining is not None and refining.critic == "teacher"
    if criticised and recipe.teacher is None:
        raise UserError('evaluation.self_refine.critic = "teacher", and the recipe has no [teacher] section')
    for arm in recipe.arms:
        _check_dropout(arm, objectives[arm.name])
    _check_prompt_files(recipe)
    build_task(recipe.data.task, recipe.data.options)
    for task in recipe.evaluation.tasks:
        build_task(task.task, task.options)
    checkpoint_backend(recipe, recipe.student.model)
    student = build_backend(recipe.student.backend, recipe.student.plugin_options)
    teacher = (
        build_backend(recipe.teacher.backend, recipe.teacher.plugin_options)
        if recipe.teacher and (taught or criticised)
        else None
    )
    return Resolved(student, teacher, objectives, needs)


def _check_dropout(arm: ArmConfig, objective: Objective) -> None:
    """Refuse a context dropout that takes away nothing, or what the objective learns to write."""
    if arm.context_dropout is None:
        return
    prompt = Prompt.create("probe", [{"role": "user", "content": "x"}], solution="y")
    whole = Record(prompt, draft="d", critique="c", refinement="r", teacher_answer="a", key="k")
    try:
        changes = objective.example(whole) != objective.example(reduce_context(whole, arm.context_dropout))
    except AssertionError:  # its target is gone
        changes = False
    if not changes:
        raise UserError(
            f"arm {arm.name}: context_dropout.drop = {arm.context_dropout.drop!r} takes nothing from the context of "
            f"objective {arm.objective!r}, or its target; it is for objectives that read critiques or drafts, as cgd"
        )


def _check_prompt_files(recipe: Recipe) -> None:
    """Fill the user's own templates once, so that a fault shows before anything is generated."""
    known = {"prompt": "", "draft": ""}
    for template, values in ((recipe.critique.prompt, known), (recipe.refinement.prompt, known | {"critique": ""})):
        if template:
            render(template, **values)


def checkpoint_backend(recipe: Recipe, model: str) -> Backend:
    """The backend that runs a checkpoint, or the base student, at evaluation."""
    name, options = recipe.checkpoint_backend
    return build_backend(name, {"model": model, **options})


def model_names(recipe: Recipe, resolved: Resolved) -> dict[str, str]:
    """Student and teacher as the keys know them, for the manifest."""
    backends = {"student": (recipe.student, resolved.student), "teacher": (recipe.teacher, resolved.teacher)}
    return {
        role: f"{section.model or section.backend} {json.dumps(dict(backend.identity), sort_keys=True)}"
        for role, (section, backend) in backends.items()
        if section and backend
    }
