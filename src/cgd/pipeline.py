"""The whole flow, top to bottom. Stages never call each other: they meet here and in the run's store.

prompts → drafts → critiques → refinements → training rows → checkpoints → predictions and grades → summary → report

Every stage asks the store what is already there and makes only the rest.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cgd import evaluation
from cgd.analysis.contamination import contamination
from cgd.analysis.drift import drift
from cgd.analysis.self_refine import refinement_summary
from cgd.analysis.summary import summarise
from cgd.chat import first_token, load_tokenizer
from cgd.config import Recipe
from cgd.controls import controls_of, corruption_counts
from cgd.data import ChosenPrompts, choose_prompts, load_benchmarks
from cgd.dataset.build import rows_hash, training_rows, write_parquet
from cgd.extras import require_packages
from cgd.filters import filter_records
from cgd.generation import stages
from cgd.generation.run import Makers, make_records
from cgd.grading_instructions import require_checkers
from cgd.models import model_folder, weights_hash
from cgd.plugins import build_task
from cgd.records import GeneratedStage, Record, Request
from cgd.report.html import write_html
from cgd.report.markdown import write_markdown
from cgd.resolve import Resolved, checkpoint_backend, model_names, resolve
from cgd.rounds import train_later_rounds
from cgd.runfolder import SUMMARY_FORMAT, RunFolder, open_run, read_json
from cgd.selection import select_checkpoints
from cgd.standard import run_standard
from cgd.students import BASE, Student, evaluate_students, students_of
from cgd.training.arms import Rows, train_arms

Until = Literal[GeneratedStage, "training"]


class RunResult(NamedTuple):
    """What a run did; an empty summary where it was to end before the evaluation."""

    folder: Path
    made: int
    summary: dict[str, Any]


def run(
    recipe: Recipe,
    runs: Path,
    *,
    until: Until | None = None,
    accept_changes: bool = False,
    command: Sequence[str] = (),
) -> RunResult:
    """Run a recipe, or what is missing of it.

    Args:
        recipe: the validated recipe.
        runs: folder of all runs; this one's is `runs/<name>`.
        until: the last stage to run; all where None.
        accept_changes: go on although the folder was begun with another recipe.
        command: what the user typed, for the manifest.

    Raises:
        UserError: see `resolve`, `choose_prompts` and `open_run`; or a package is missing.
        StoppedError: too many rows of a stage failed, or the budget is spent.
    """
    resolved = resolve(recipe)
    _check_packages(recipe, until)
    prompts = choose_prompts(recipe)
    # Weights that are not there are refused before there is a run folder.
    model_folder(recipe.student.model, recipe.student.revision)
    models = model_names(recipe, resolved)
    with open_run(runs / recipe.name, recipe, accept_changes=accept_changes, command=command) as folder:
        _check_before_spending(folder, recipe, resolved, prompts, until)
        folder.manifest["models"] = models
        folder.save_manifest()
        folder.store.add_prompts([*prompts.training, *(p for test in prompts.evaluation.values() for p in test)])
        folder.store.set_drops("data", prompts.drops)
        makers = Makers(recipe, resolved.student, resolved.teacher, resolved.needs)
        records, drops, made = make_records(folder, makers, prompts.training, until=until)
        folder.store.set_drops("generation", drops)
        if until not in (None, "training"):
            return _ended_early(folder, made)
        made += _train(folder, recipe, resolved, filter_records(folder, recipe, records, prompts.evaluation))
        made += train_later_rounds(folder, recipe, resolved, prompts.training)
        if until == "training":
            return _ended_early(folder, made)
        task = build_task(recipe.data.task, recipe.data.options)
        selected = select_checkpoints(folder, recipe, prompts.held_out, task)
        students = students_of(folder, recipe, selected.places)
        made += selected.made + evaluate_students(folder, recipe, prompts, students, resolved.teacher)
        return _finish(folder, recipe, prompts, students, made)


def evaluate(recipe: Recipe, runs: Path, *, accept_changes: bool = False, command: Sequence[str] = ()) -> RunResult:
    """Evaluate a model as it is: the recipe's student on the recipe's benchmarks; nothing is generated or trained.

    Raises:
        UserError: see `resolve`, `load_benchmarks` and `open_run`; or a package is missing.
        StoppedError: too many answers failed, or the budget is spent.
    """
    resolved = resolve(recipe)
    _check_packages(recipe, None)
    tasks, tests = load_benchmarks(recipe)
    model_folder(recipe.student.model, recipe.student.revision)
    prompts = ChosenPrompts([], [], tests, tasks, [])
    with open_run(runs / recipe.name, recipe, accept_changes=accept_changes, command=command) as folder:
        folder.manifest["models"] = model_names(recipe, resolved)
        folder.save_manifest()
        folder.store.add_prompts([prompt for test in tests.values() for prompt in test])
        students = students_of(folder, recipe, {})
        made = evaluate_students(folder, recipe, prompts, students, resolved.teacher)
        return _finish(folder, recipe, prompts, students, made)


def _ended_early(folder: RunFolder, made: int) -> RunResult:
    if made:
        folder.save_manifest()  # what the stages took so far
    return RunResult(folder.path, made, {})


def _check_packages(recipe: Recipe, until: Until | None) -> None:
    """Refuse at once what training or the standard benchmarks would refuse after everything before them is paid."""
    if recipe.arms and until in (None, "training"):
        adapter = ["peft"] if recipe.training.method == "lora" else []
        require_packages("train", "training", "torch", "transformers", "accelerate", *adapter)
    if recipe.evaluation.harness and until is None:
        require_checkers()


def _check_before_spending(
    folder: RunFolder, recipe: Recipe, resolved: Resolved, prompts: ChosenPrompts, until: Until | None
) -> None:
    """Let each backend refuse what it can't serve before anything is generated (critiques with empty drafts)."""
    if stages.is_needed("draft", resolved.needs):
        fresh = [Record(prompt) for prompt in prompts.training]
        drafts = stages.requests("draft", fresh, recipe, resolved.student.identity)
        if not _all_known(folder, drafts):
            resolved.student.check(drafts)
            if resolved.teacher and until != "draft":
                empty = [Record(prompt, draft="") for prompt in prompts.training]
                resolved.teacher.check(stages.requests("critique", empty, recipe, resolved.teacher.identity))
    if until is not None:
        return
    base = checkpoint_backend(recipe, recipe.student.model)
    predictions = [
        request
        for label, tests in prompts.evaluation.items()
        for request in evaluation.requests(tests, recipe.evaluation, base.identity, recipe.seed, label)
    ]
    if not _all_known(folder, predictions):
        base.check(predictions)


def _all_known(folder: RunFolder, requests: Sequence[Request]) -> bool:
    return len(folder.store.states([r.key for r in requests])) == len({r.key for r in requests})


def _train(folder: RunFolder, recipe: Recipe, resolved: Resolved, records: Sequence[Record]) -> int:
    """Make the rows of every arm, train what is missing; returns how many checkpoints were made."""
    controls = controls_of(recipe)
    rows, drops = training_rows(records, resolved.objectives, recipe.dropouts, controls)
    folder.store.set_drops("dataset", drops)
    folder.manifest["corrupted"] = corruption_counts(records, rows, controls)
    student = model_folder(recipe.student.model, recipe.student.revision)
    if stages.is_needed("draft", resolved.needs):
        _warn(folder, _foreign_drafts(resolved.student.identity, weights_hash(student)) + _not_corrupted(folder))
    return train_arms(folder, recipe, Rows(rows, {arm: rows_hash(rows[arm]) for arm in rows}, write_parquet), student)


def _foreign_drafts(identity: Mapping[str, Any], student_hash: str) -> list[str]:
    """A warning where drafts are not known to be the trained checkpoint's own: the method binds them to it."""
    if identity.get("weights") == student_hash:
        return []
    return [
        f"drafts come from backend {identity.get('backend')!r}, which does not run the very weights that are "
        "trained; critique-guided distillation wants the drafts of the checkpoint itself"
    ]


def _not_corrupted(folder: RunFolder) -> list[str]:
    """A warning for each arm where critiques that were to be made wrong could not be."""
    return [
        f"arm {arm}: {counts['drawn'] - counts['changed']} of {counts['drawn']} critiques that were to be made wrong "
        "hold nothing of the kind; they stay as they are"
        for arm, counts in folder.manifest["corrupted"].items()
        if counts["changed"] < counts["drawn"]
    ]


def _warn(folder: RunFolder, warnings: list[str]) -> None:
    """Print warnings and keep them in the manifest, from which the report has them."""
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    folder.manifest["warnings"] = warnings
    folder.save_manifest()


def _finish(
    folder: RunFolder, recipe: Recipe, prompts: ChosenPrompts, students: Sequence[Student], made: int
) -> RunResult:
    """Run the standard benchmarks, and write summary and report, unless they stand and nothing was made."""
    standard = run_standard(folder, recipe, students)
    made += standard.made
    first_task = next((task.label for task in recipe.evaluation.tasks), "")
    counted = {
        "format": SUMMARY_FORMAT,
        **summarise(folder.store, first_task, [BASE, *(arm.name for arm in recipe.arms)]),
        "harness": standard.account,
    }
    saved = read_json(folder.path / "summary.json") or {}
    unchanged = not made and all(saved.get(key) == value for key, value in json.loads(json.dumps(counted)).items())
    if unchanged and (folder.path / "report" / "index.html").is_file():
        return RunResult(folder.path, made, saved)
    arms = list(dict.fromkeys(student.arm for student in students))
    tokenizer = load_tokenizer(model_folder(recipe.student.model, recipe.student.revision))
    summary = {
        **counted,
        "self_refine": refinement_summary(folder.store),
        "drift": drift(folder.store, arms, list(prompts.tasks), partial(first_token, tokenizer)),
        "contamination": contamination(folder.store, prompts.training),
    }
    folder.save_manifest()
    folder.write_json("summary.json", summary)
    write_report(folder, recipe, summary)
    return RunResult(folder.path, made, summary)


def write_report(folder: RunFolder, recipe: Recipe, summary: Mapping[str, Any]) -> None:
    """Write `report/index.html` and `report/report.md` from summary, manifest, store and, where it is, the analysis."""
    analysis = read_json(folder.path / "analysis.json")
    for write in (write_html, write_markdown):
        write(folder.path, summary, folder.manifest, folder.store, recipe.report.examples, analysis)
