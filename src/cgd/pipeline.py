"""The whole flow, top to bottom. Stages never call each other: they meet here and in the run's store.

prompts → drafts → critiques → refinements → training rows → checkpoints → predictions and grades → summary → report

Every stage asks the store what is already there and makes only the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cgd import evaluation
from cgd.analysis.summary import summarise
from cgd.chat import load_tokenizer
from cgd.config import Recipe, TrainingConfig
from cgd.data import ChosenPrompts, choose_prompts
from cgd.dataset.build import TrainingRow, rows_hash, training_rows, write_parquet
from cgd.errors import UserError
from cgd.generation import critique, draft, refine
from cgd.generation.collect import collect
from cgd.models import model_folder, weights_hash
from cgd.plugins import Backend, Objective, build_backend, build_objective, build_task
from cgd.prompts import render
from cgd.records import Prompt, Record, Request
from cgd.report.html import write_html
from cgd.report.markdown import write_markdown
from cgd.runfolder import RunFolder, open_run, read_json
from cgd.sampling import sample
from cgd.store import Drop
from cgd.training.checkpoint import checkpoint_key, find, publish, read_stamp
from cgd.training.completion_only import encode_arms
from cgd.training.sft import train

BASE = "base"


class Resolved(NamedTuple):
    """The plug-ins of a recipe, built and validated; nothing is loaded yet."""

    student: Backend
    teacher: Backend | None
    objectives: dict[str, Objective]
    needs: frozenset[str]


class Generated(NamedTuple):
    """Records after a generating stage, what was left out so far, and how many replies were made."""

    records: list[Record]
    drops: list[Drop]
    made: int


class RunResult(NamedTuple):
    """What a run did."""

    folder: Path
    made: int
    summary: dict[str, Any]


def resolve(recipe: Recipe) -> Resolved:
    """Build every plug-in of a recipe, which validates all options.

    Raises:
        UserError: a wrong plug-in name or option, a faulty prompt file, or a teacher is needed and there is none.
    """
    objectives = {arm.name: build_objective(arm.objective, arm.options) for arm in recipe.arms}
    needs = frozenset[str]().union(*(objective.needs for objective in objectives.values()))
    taught = sorted(name for name, objective in objectives.items() if objective.needs & {"critique", "refinement"})
    if taught and recipe.teacher is None:
        raise UserError(f"arms {', '.join(taught)} learn from a teacher, and the recipe has no [teacher] section")
    _check_prompt_files(recipe)
    build_task(recipe.data.task, recipe.data.options)
    for task in recipe.evaluation.tasks:
        build_task(task.task, task.options)
    _checkpoint_backend(recipe, recipe.student.model)
    student = build_backend(recipe.student.backend, recipe.student.plugin_options)
    teacher = (
        build_backend(recipe.teacher.backend, recipe.teacher.plugin_options) if taught and recipe.teacher else None
    )
    return Resolved(student, teacher, objectives, needs)


def run(recipe: Recipe, runs: Path, *, accept_changes: bool = False, command: Sequence[str] = ()) -> RunResult:
    """Run a recipe, or what is missing of it.

    Args:
        recipe: the validated recipe.
        runs: folder of all runs; this one's is `runs/<name>`.
        accept_changes: go on although the folder was begun with another recipe.
        command: what the user typed, for the manifest.

    Raises:
        UserError: see `resolve`, `choose_prompts` and `open_run`.
        StoppedError: too many rows of a stage failed.
    """
    resolved = resolve(recipe)
    prompts = choose_prompts(recipe)
    # Weights that are not there are refused before there is a run folder.
    model_folder(recipe.student.model, recipe.student.options.get("revision"))
    models = _models(recipe, resolved)
    with open_run(runs / recipe.name, recipe, accept_changes=accept_changes, command=command) as folder:
        _check_before_spending(folder, recipe, resolved, prompts)
        folder.manifest["models"] = models
        folder.save_manifest()
        folder.store.add_prompts([*prompts.training, *(p for test in prompts.evaluation.values() for p in test)])
        records, made = _make_records(folder, recipe, resolved, prompts.training)
        rows, drops = training_rows(records, resolved.objectives)
        folder.store.set_drops("data", prompts.drops)
        folder.store.set_drops("dataset", drops)
        made += _train(folder, recipe, rows)
        made += _evaluate(folder, recipe, prompts)
        summary = _finish(folder, recipe, made)
    return RunResult(folder.path, made, summary)


def _check_prompt_files(recipe: Recipe) -> None:
    """Fill the user's own templates once, so that a fault shows before anything is generated."""
    known = {"prompt": "", "draft": ""}
    for template, values in ((recipe.critique.prompt, known), (recipe.refinement.prompt, known | {"critique": ""})):
        if template:
            render(template, **values)


def _checkpoint_backend(recipe: Recipe, model: str) -> Backend:
    name, options = recipe.checkpoint_backend
    return build_backend(name, {"model": model, **options})


def _models(recipe: Recipe, resolved: Resolved) -> dict[str, str]:
    """Student and teacher as the keys know them, for the manifest."""
    backends = {"student": (recipe.student, resolved.student), "teacher": (recipe.teacher, resolved.teacher)}
    return {
        role: f"{section.model or section.backend} {json.dumps(dict(backend.identity), sort_keys=True)}"
        for role, (section, backend) in backends.items()
        if section and backend
    }


def _check_before_spending(folder: RunFolder, recipe: Recipe, resolved: Resolved, prompts: ChosenPrompts) -> None:
    """Let each backend refuse what it can't serve before anything is generated (critiques with empty drafts)."""
    if {"draft", "critique", "refinement"} & resolved.needs:
        drafts = draft.requests(prompts.training, recipe.draft, resolved.student.identity, recipe.seed)
        if not _all_known(folder, drafts):
            resolved.student.check(drafts)
            if resolved.teacher:
                empty = [Record(prompt, draft="") for prompt in prompts.training]
                resolved.teacher.check(
                    critique.requests(empty, recipe.critique, resolved.teacher.identity, recipe.seed)
                )
    base = _checkpoint_backend(recipe, recipe.student.model)
    tests = [prompt for test in prompts.evaluation.values() for prompt in test]
    predictions = evaluation.requests(tests, recipe.evaluation, base.identity, recipe.seed)
    if not _all_known(folder, predictions):
        base.check(predictions)


def _all_known(folder: RunFolder, requests: Sequence[Request]) -> bool:
    return len(folder.store.replies([r.key for r in requests])) == len({r.key for r in requests})


def _make_records(
    folder: RunFolder, recipe: Recipe, resolved: Resolved, prompts: Sequence[Prompt]
) -> tuple[list[Record], int]:
    """Draft, criticise and refine as far as the arms need; records, and how many replies were made."""
    needs, student, teacher, seed = resolved.needs, resolved.student, resolved.teacher, recipe.seed
    done = Generated([Record(prompt) for prompt in prompts], [], 0)
    wanted = {"draft": {"draft", "critique", "refinement"}, "critique": {"critique", "refinement"}}
    for stage in ("draft", "critique", "refinement"):
        if not needs & wanted.get(stage, {stage}):
            folder.store.set_current(stage, [])  # a stage that the recipe no longer needs has no rows in use
    if needs & wanted["draft"]:
        requests = draft.requests(prompts, recipe.draft, student.identity, seed)
        done = _generate(folder, recipe, "draft", student, requests, done)
        student.close()
    if teacher is not None:
        requests = critique.requests(done.records, recipe.critique, teacher.identity, seed)
        done = _generate(folder, recipe, "critique", teacher, requests, done)
        if "refinement" in needs:
            requests = refine.requests(done.records, recipe.refinement, teacher.identity, seed)
            done = _generate(folder, recipe, "refinement", teacher, requests, done)
        teacher.close()
    folder.store.set_drops("generation", done.drops)
    return done.records, done.made


def _generate(
    folder: RunFolder,
    recipe: Recipe,
    stage: Literal["draft", "critique", "refinement"],
    backend: Backend,
    requests: Sequence[Request],
    before: Generated,
) -> Generated:
    folder.store.set_current(stage, requests)
    with folder.timed(stage):
        sampled = sample(folder.store, backend, requests, title=stage, max_failed_share=recipe.max_failed_share)
    records, drops = collect(stage, requests, sampled.replies)
    return Generated(records, before.drops + drops, before.made + sampled.made)


def _train(folder: RunFolder, recipe: Recipe, rows: Mapping[str, Sequence[TrainingRow]]) -> int:
    """Train every arm and seed whose checkpoint is absent or was trained from something else."""
    config = recipe.training
    student = model_folder(recipe.student.model, recipe.student.options.get("revision"))
    jobs = [(arm, seed) for arm in rows for seed in config.seeds]
    hashes = {arm: rows_hash(rows[arm]) for arm in rows}
    keys = {(arm, seed): checkpoint_key(hashes[arm], config, seed, weights_hash(student)) for arm, seed in jobs}
    stamps = {job: read_stamp(folder.checkpoint(*job)) for job in jobs}
    trained = 0
    if any(stamp is None or stamp.key != keys[job] for job, stamp in stamps.items()):
        with folder.timed("training"):
            trained = _train_missing(folder, config, student, rows, keys)
        stamps = {job: read_stamp(folder.checkpoint(*job)) for job in jobs}
    folder.store.set_checkpoints({job: stamp.info for job, stamp in stamps.items() if stamp})
    return trained


def _train_missing(
    folder: RunFolder,
    config: TrainingConfig,
    student: Path,
    rows: Mapping[str, Sequence[TrainingRow]],
    keys: Mapping[tuple[str, int], str],
) -> int:
    examples = {arm: [row.example for row in arm_rows] for arm, arm_rows in rows.items()}
    encoded, too_long = encode_arms(load_tokenizer(student), examples, config.max_length, config.max_overlength_share)
    any_arm = next(iter(rows.values()))
    left_out = [Drop(any_arm[index].record_id, reason) for index, reason in too_long.items()]
    folder.store.set_drops("length", left_out)
    for arm, arm_rows in rows.items():
        write_parquet([row for i, row in enumerate(arm_rows) if i not in too_long], folder.dataset(arm))
    ids = [drop.record_id for drop in left_out]
    trained = 0
    for (arm, seed), key in keys.items():
        out = folder.checkpoint(arm, seed)
        # Another arm's long rows are left out here too, so they count although this arm's key is the same.
        if find(out, key, ids):
            continue
        scratch = out.with_name(f"{out.name}.partial")
        info = train(encoded[arm], student, scratch, config, seed, f"train {arm} seed {seed}")
        publish(scratch, out, key, ids, info)
        trained += 1
    return trained


def _evaluate(folder: RunFolder, recipe: Recipe, prompts: ChosenPrompts) -> int:
    """Predict and grade every task with the base student and each checkpoint, given x alone."""
    jobs = [(arm.name, seed) for arm in recipe.arms for seed in recipe.training.seeds]
    models = {(BASE, 0): recipe.student.model} | {job: str(folder.checkpoint(*job)) for job in jobs}
    folder.store.keep_current_predictions((task, *job) for task in prompts.tasks for job in models)
    made = 0
    for (arm, seed), model in models.items():
        backend = _checkpoint_backend(recipe, model)
        for label, task in prompts.tasks.items():
            requests = evaluation.requests(prompts.evaluation[label], recipe.evaluation, backend.identity, recipe.seed)
            folder.store.set_current("prediction", requests, task=label, arm=arm, seed=seed)
            title = f"evaluate {arm}" + (f" seed {seed}" if len(recipe.training.seeds) > 1 and arm != BASE else "")
            with folder.timed("evaluation"):
                sampled = sample(
                    folder.store,
                    backend,
                    requests,
                    title=f"{title} on {label}",
                    max_failed_share=recipe.max_failed_share,
                )
                made += sampled.made + evaluation.grade_predictions(folder.store, requests, task)
        backend.close()
    return made


def _finish(folder: RunFolder, recipe: Recipe, made: int) -> dict[str, Any]:
    """Write summary and report, unless they stand and nothing was made."""
    first_task = next((task.label for task in recipe.evaluation.tasks), "")
    summary = summarise(folder.store, first_task, [BASE, *(arm.name for arm in recipe.arms)])
    report = folder.path / "report"
    unchanged = not made and read_json(folder.path / "summary.json") == json.loads(json.dumps(summary))
    if not unchanged or not (report / "index.html").is_file():
        folder.save_manifest()
        folder.write_json("summary.json", summary)
        write_report(folder, recipe, summary)
    return summary


def write_report(folder: RunFolder, recipe: Recipe, summary: Mapping[str, Any]) -> None:
    """Write `report/index.html` and `report/report.md` from summary, manifest and store."""
    for write in (write_html, write_markdown):
        write(folder.path, summary, folder.manifest, folder.store, recipe.report.examples)
