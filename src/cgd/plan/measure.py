"""Short measurements: the recipe's first prompts through every stage, and a trial training.

What is generated goes into the run folder under the keys that the run itself will ask for, so it is not paid twice.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgd import evaluation
from cgd.chat import load_tokenizer
from cgd.config import Price, Recipe
from cgd.data import ChosenPrompts
from cgd.errors import UserError
from cgd.generation import stages
from cgd.generation.collect import retry_longer
from cgd.models import model_folder
from cgd.plan.known import known_stage, stored_keys
from cgd.plan.lengths import encoded_rows, unusable
from cgd.plan.numbers import Rate
from cgd.plugins import Backend
from cgd.records import Record, Request
from cgd.resolve import Resolved, checkpoint_backend, model_names
from cgd.runfolder import RunFolder, open_run
from cgd.sampling import sample
from cgd.spending import Spending
from cgd.training.probe import peak_gib


def measure(
    recipe: Recipe, runs: Path, resolved: Resolved, prompts: ChosenPrompts, n: int, command: Sequence[str]
) -> None:
    """Measure seconds by stage and peak memory, and write them into the manifest (`measured`).

    Which rows are in use (`current`) is left as it is: the run says so itself. Stages whose rows are stored already
    keep their earlier measurement.

    Raises:
        UserError: the run folder belongs to another recipe, a backend refuses, or the trial training failed.
        StoppedError: too many failures, or the budget is spent.
    """
    with open_run(runs / recipe.name, recipe, accept_changes=False, command=command) as folder:
        tests = {label: test[:n] for label, test in prompts.evaluation.items()}
        folder.store.add_prompts([*prompts.training[:n], *(p for test in tests.values() for p in test)])
        folder.manifest["models"] = model_names(recipe, resolved)
        records = _generate(folder, recipe, resolved, [Record(prompt) for prompt in prompts.training[:n]])
        _predict(folder, recipe, tests)
        _train(folder, recipe, resolved, records)


def _generate(folder: RunFolder, recipe: Recipe, resolved: Resolved, records: list[Record]) -> list[Record]:
    for stage in stages.STAGES:
        backend = resolved.student if stage == "draft" else resolved.teacher
        section = recipe.student if stage == "draft" else recipe.teacher
        if backend is None or not stages.is_needed(stage, resolved.needs):
            continue
        asked = stages.requests(stage, records, recipe, backend.identity)
        price = section.price if section else None
        _sample(folder, recipe, stage, backend, asked, price)
        config = recipe.generated[stage]
        if config.truncated == "retry":
            replies = folder.store.replies([request.key for request in asked])
            again = retry_longer(asked, replies, config.longer, backend.identity, recipe.seed)
            _ask(folder, recipe, stage, backend, again, price)
        records = known_stage(folder.store, stage, config, asked, backend.identity, recipe.seed).records
        if stage == "draft":
            backend.close()  # its memory is the teacher's now
    if resolved.teacher:
        resolved.teacher.close()
    return records


def _predict(folder: RunFolder, recipe: Recipe, tests: dict[str, Any]) -> None:
    """The base student's first answers to the first task; trained students are taken to be as quick."""
    base = checkpoint_backend(recipe, recipe.student.model)
    for label, test in list(tests.items())[:1]:
        asked = evaluation.requests(test, recipe.evaluation, base.identity, recipe.seed, label)
        _sample(folder, recipe, "evaluation", base, asked, recipe.checkpoint_price)
    base.close()


def _sample(
    folder: RunFolder, recipe: Recipe, stage: str, backend: Backend, asked: Sequence[Request], price: Price | None
) -> None:
    """Ask and time: the first request loads the weights, the others tell the seconds each of them takes."""
    there = stored_keys(folder.store, asked)
    missing = [request for request in asked if request.key not in there]
    first = _ask(folder, recipe, stage, backend, missing[:1], price)
    others = _ask(folder, recipe, stage, backend, missing[1:], price)
    if missing:
        _note(folder, "peak_gib", {"generation": peak_gib()})
    n = len(missing) - 1
    if n > 0:
        each = others / n
        _note(folder, "rates", {stage: Rate(max(0.0, first - each), each, n)})


def _ask(
    folder: RunFolder, recipe: Recipe, stage: str, backend: Backend, asked: Sequence[Request], price: Price | None
) -> float:
    if not asked:
        return 0.0
    started = time.perf_counter()
    with folder.timed(stage):
        sample(
            folder.store,
            backend,
            asked,
            title=f"measure {stage}",
            max_failed_share=recipe.max_failed_share,
            spending=Spending(recipe.budget, price),
        )
    folder.save_manifest()
    return time.perf_counter() - started


def _note(folder: RunFolder, key: str, values: dict[str, Any]) -> None:
    folder.manifest.setdefault("measured", {}).setdefault(key, {}).update(values)
    folder.save_manifest()


def _train(folder: RunFolder, recipe: Recipe, resolved: Resolved, records: Sequence[Record]) -> None:
    """Train the arm with the longest rows for a few steps; another arm's steps take as long as its tokens say."""
    student = model_folder(recipe.student.model, recipe.student.revision)
    encoded = encoded_rows(records, resolved, load_tokenizer(student))
    too_long = unusable(encoded, recipe.training.max_length)
    kept = {
        arm: [row for row, out in zip(rows, too_long, strict=True) if row and not out] for arm, rows in encoded.items()
    }
    tokens = {arm: sum(len(row.input_ids) for row in rows) for arm, rows in kept.items()}
    longest = max(tokens, key=lambda arm: tokens[arm])
    if not kept[longest]:
        raise UserError(f"all {len(records)} training rows are longer than training.max_length; none to measure")
    result = _probe(
        {
            "student": str(student),
            "training": recipe.training.model_dump(mode="json"),
            "rows": kept[longest],
            "scratch": str(folder.path),
        }
    )
    steps = {
        f"training {arm}": Rate(result["fixed_s"], result["step_s"] * tokens[arm] / tokens[longest], 2)
        for arm in tokens
    }
    _note(folder, "rates", steps)
    _note(folder, "peak_gib", {"training": result["peak_gib"]})


def _probe(job: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "cgd.training.probe"]
    done = subprocess.run(command, input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError(
            f"the trial training ended with exit code {done.returncode} (its message stands above; -9 means killed, "
            "for lack of memory as a rule): a smaller training.micro_batch_size or gradient_checkpointing needs less"
        )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
