"""What a run will need, before anything is spent: requests, tokens, money, time and memory by stage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cgd.chat import load_tokenizer
from cgd.config import Recipe
from cgd.data import choose_prompts
from cgd.models import model_folder
from cgd.plan.answers import answer_rows
from cgd.plan.later_rounds import later_rounds
from cgd.plan.lengths import bounds, tokenizer_of
from cgd.plan.measure import measure
from cgd.plan.numbers import Plan, Rate
from cgd.plan.refining import refining_rows
from cgd.plan.rows import Inputs, generated_rows, training_rows
from cgd.resolve import resolve
from cgd.runfolder import RunFolder

_MANY_MORE = 4
_REPLIES_BY_STAGE = """
SELECT CASE WHEN stage IN ('prediction', 'self_critique', 'self_refinement') THEN 'evaluation' ELSE stage END AS part,
COUNT(*) FROM replies WHERE state != 'failed' GROUP BY part
"""


def make_plan(recipe: Recipe, runs: Path, *, measured: int = 0, command: Sequence[str] = ()) -> Plan:
    """Plan a run, or what is left of it. Nothing is written to the run folder unless `measured` is given.

    Args:
        recipe: the validated recipe.
        runs: folder of all runs.
        measured: generate the first so many prompts into the run folder, and train a few steps, to measure time and
            memory; 0 measures nothing.
        command: what the user typed, for the manifest.

    Raises:
        UserError: whatever `cgd run` would refuse, too.
        StoppedError: measuring met too many failures, or the budget is spent.
    """
    resolved = resolve(recipe)
    prompts = choose_prompts(recipe)
    student = model_folder(recipe.student.model, recipe.student.revision)
    tokenizer = load_tokenizer(student)
    teacher_tokenizer = tokenizer_of(recipe.teacher) if recipe.teacher and resolved.teacher else None
    limits = bounds(recipe, resolved, prompts.training, tokenizer, teacher_tokenizer or tokenizer)
    if measured:
        measure(recipe, runs, resolved, prompts, measured, command)
    with _existing(runs / recipe.name) as folder:
        counting = teacher_tokenizer or tokenizer
        inputs = Inputs(recipe, resolved, prompts, tokenizer, counting, limits, folder, _rates(folder))
        generated = generated_rows(inputs, resolved.student)
        trained = training_rows(inputs, generated.flow, student)
        later = later_rounds(inputs, generated, trained)
        evaluated = [*answer_rows(inputs, later.checkpoints), *refining_rows(inputs, later.checkpoints)]
        rows = [*generated.rows, *trained.rows, *later.rows, *evaluated]
        spent = folder.store.spent() if folder else (0, 0.0)
        manifest = folder.manifest if folder else {}
    notes = []
    if resolved.teacher and teacher_tokenizer is None:
        notes.append("the teacher has no tokenizer on this machine: the student's stands in and counts its prompts")
    if limits.sampled < len(prompts.training):
        notes.append(f"lengths are those of {limits.sampled} of {len(prompts.training)} prompts, chosen at random")
    return Plan(
        recipe.name,
        rows,
        trained.over_length,
        recipe.training.max_overlength_share,
        recipe.training.max_length,
        recipe.budget,
        *spent,
        manifest.get("measured", {}).get("peak_gib", {}),
        notes,
    )


@contextmanager
def _existing(path: Path) -> Iterator[RunFolder | None]:
    """The run folder, to be read only; None where there is none yet."""
    if not (path / "run.sqlite").is_file():
        yield None
        return
    folder = RunFolder(path)
    try:
        yield folder
    finally:
        folder.store.close()


def _rates(folder: RunFolder | None) -> dict[str, Rate]:
    """Seconds by stage (`training ARM` for an arm's steps), measured or as the run took them so far.

    What the run took has loading in it, and is better only once it comes from many more rows.
    """
    if folder is None:
        return {}
    durations = dict(folder.manifest.get("durations_s", {}))
    if "selection" in durations:  # whose answers are predictions like all others
        durations["evaluation"] = durations.get("evaluation", 0.0) + durations["selection"]
    rates = {}
    for stage, n in folder.store.query(_REPLIES_BY_STAGE):
        if stage in durations:
            rates[stage] = Rate(0.0, durations[stage] / n, n)
    for arm, text in folder.store.query("SELECT arm, info FROM checkpoints"):
        info = json.loads(text)
        rates[f"training {arm}"] = Rate(0.0, info["seconds"] / info["steps"], info["steps"])
    for stage, values in folder.manifest.get("measured", {}).get("rates", {}).items():
        rate = Rate(*values)
        if stage not in rates or rates[stage].n < _MANY_MORE * rate.n:
            rates[stage] = rate
    return rates
