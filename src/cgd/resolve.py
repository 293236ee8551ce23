"""A recipe's plug-ins, built and validated; nothing is loaded yet."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NamedTuple

from cgd.config import ArmConfig, Recipe
from cgd.controls import is_controlled
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
        _check_control(arm, objectives[arm.name], recipe.draft.n)
    _check_filters(recipe, needs)
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


_WHOLE = Record(
    Prompt.create("probe", [{"role": "user", "content": "x"}], solution="y"),
    draft="d",
    critique="c",
    refinement="r",
    teacher_answer="a",
    key="k",
)


def _check_dropout(arm: ArmConfig, objective: Objective) -> None:
    """Refuse a context dropout that takes away nothing, or what the objective learns to write."""
    if arm.context_dropout is None:
        return
    try:
        changes = objective.example(_WHOLE) != objective.example(reduce_context(_WHOLE, arm.context_dropout))
    except AssertionError:  # its target is gone
        changes = False
    if not changes:
        raise UserError(
            f"arm {arm.name}: context_dropout.drop = {arm.context_dropout.drop!r} takes nothing from the context of "
            f"objective {arm.objective!r}, or its target; it is for objectives that read critiques or drafts, as cgd"
        )


def _check_control(arm: ArmConfig, objective: Objective, drafts: int) -> None:
    """Refuse another critique where the objective does not read it, or learns to write it."""
    if not is_controlled(arm):
        return
    if arm.critique == "other_draft" and drafts < 2:
        raise UserError(
            f'arm {arm.name}: critique = "other_draft" needs several drafts of a prompt, and draft.n is {drafts}; set '
            "draft.n to 2 or more, with draft.temperature above 0"
        )
    another = None if arm.critique == "none" else "another"
    # A mixture shows each record in one of several views.
    whole = [replace(_WHOLE, key=str(number)) for number in range(64)]
    try:
        pairs = [(objective.example(one), objective.example(replace(one, critique=another))) for one in whole]
    except AssertionError:  # its target is gone
        pairs = []
    changes = any(before.context != after.context for before, after in pairs)
    if not changes or any(before.target != after.target for before, after in pairs):
        raise UserError(
            f"arm {arm.name}: critique and corrupt change the critique in the context, which objective "
            f"{arm.objective!r} does not read, or learns to write; they are for objectives that read it, as cgd"
        )


def _check_filters(recipe: Recipe, needs: frozenset[str]) -> None:
    """Refuse to judge critiques and refinements that are not made."""
    if (recipe.dataset.drop or recipe.dataset.needs_gains) and "refinement" not in needs:
        raise UserError(
            "[dataset] drop, min_gain, by_gain and weight_by_gain judge critiques and refinements, and no arm learns "
            "from a refinement; add an arm that does (cgd, say), or take these keys away (by_gain at random may stay)"
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
