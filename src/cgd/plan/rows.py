"""The plan's rows: what each stage will come to, from what is stored and what the bounds say of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isnan, nan
from typing import Any, NamedTuple

from cgd import evaluation
from cgd.config import Recipe
from cgd.controls import controls_of
from cgd.data import ChosenPrompts
from cgd.dataset import build
from cgd.generation import stages
from cgd.models import model_folder, weights_hash
from cgd.plan.known import NOT_BEGUN, Known, count, known_stage, stored_keys
from cgd.plan.lengths import Bounds, Lengths, encoded_rows, prompt_lengths, share_of, unusable
from cgd.plan.numbers import NOTHING, UNKNOWN, Counted, OverLength, Rate, Row
from cgd.plugins import Backend
from cgd.records import GeneratedStage, Record
from cgd.resolve import Resolved, checkpoint_backend
from cgd.runfolder import RunFolder
from cgd.training.arms import job_keys
from cgd.training.checkpoint import read_stamp
from cgd.training.order import optimizer_steps


class Inputs(NamedTuple):
    """What every row is made from."""

    recipe: Recipe
    resolved: Resolved
    prompts: ChosenPrompts
    tokenizer: Any
    """The student's."""
    bounds: Bounds
    folder: RunFolder | None
    """None where no run was begun."""
    rates: Mapping[str, Rate]


class Flow(NamedTuple):
    """Records that reach a stage: those that are stored, how many are expected (NaN: unknown), and at most."""

    records: Sequence[Record]
    expected: float
    at_most: int


class Trained(NamedTuple):
    """The rows of the arms, the share of training rows that are too long, and the checkpoints a run would find."""

    rows: list[Row]
    over_length: OverLength
    checkpoints: list[tuple[str, int]]


def generated_rows(inputs: Inputs) -> tuple[list[Row], Flow]:
    """One row a generating stage, and the records that come out of the last one."""
    recipe, resolved = inputs.recipe, inputs.resolved
    fresh = [Record(prompt) for prompt in inputs.prompts.training]
    flow = Flow(fresh, len(fresh), len(fresh))
    rows = []
    for stage in stages.STAGES:
        backend = resolved.student if stage == "draft" else resolved.teacher
        section = recipe.student if stage == "draft" else recipe.teacher
        if backend is None or section is None or not stages.is_needed(stage, resolved.needs):
            continue
        known = _known(inputs, stage, backend, flow.records)
        row, flow = _stage_row(recipe, stage, known, flow, inputs.bounds.prompt[stage], len(fresh))
        rows.append(row._replace(price=section.price, rate=inputs.rates.get(stage)))
    return rows, flow


def _known(inputs: Inputs, stage: GeneratedStage, backend: Backend, records: Sequence[Record]) -> Known:
    if inputs.folder is None or not records:
        return NOT_BEGUN
    asked = stages.requests(stage, records, inputs.recipe, backend.identity)
    config = inputs.recipe.generated[stage]
    return known_stage(inputs.folder.store, stage, config, asked, backend.identity, inputs.recipe.seed)


def _stage_row(
    recipe: Recipe, stage: GeneratedStage, known: Known, flow: Flow, prompt: Lengths, prompts: int
) -> tuple[Row, Flow]:
    """Counts of one stage, and the records that leave it."""
    config = recipe.generated[stage]
    samples = {"draft": recipe.draft.n, "critique": recipe.critique.n}.get(stage, 1)
    tries = [config.max_tokens] + ([config.longer.max_tokens] if config.truncated == "retry" else [])
    stored, missing = known.counted, flow.at_most * samples - known.first
    unmade = missing * len(tries) + known.pending
    # Records of the same prompt share the teacher's own answer to it.
    distinct = prompts * len(tries) if stage == "teacher_answer" else inf
    part = min(1.0, (distinct - stored.requests) / unmade) if unmade else 0.0
    at_most = Counted(
        stored.requests + part * unmade,
        stored.prompt_tokens + part * unmade * prompt.at_most,
        stored.new_tokens + part * (missing * sum(tries) + known.pending * tries[-1]),
    )
    to_come = max(flow.expected * samples - known.first, 0.0)
    second = known.cut / known.first if known.first else nan if len(tries) > 1 else 0.0
    requests = min(stored.requests + to_come * (1 + second) + known.pending, distinct)
    # The prompts of drafts are known before there is one; those of later stages hold texts.
    expected = extrapolate(stored, requests, prompt.mean if stage == "draft" else nan)
    settled = known.first - known.pending
    come_through = len(known.records) / settled if settled else nan
    after = Flow(
        known.records,
        len(known.records) + (to_come + known.pending) * come_through,
        len(known.records) + missing + known.pending,
    )
    return Row(stage, "", stored, expected, at_most), after


def extrapolate(stored: Counted, requests: float, prompt_mean: float = nan) -> Counted:
    """So many requests by the means of the stored ones.

    Args:
        stored: what is there.
        requests: how many there will be.
        prompt_mean: prompt tokens of one that is not there yet, where they are known beforehand.
    """
    left = requests - stored.requests
    if not left:
        return stored
    if isnan(left):
        return UNKNOWN
    prompts, new = (total / stored.requests if stored.requests else nan for total in stored[1:])
    prompts = prompts if isnan(prompt_mean) else prompt_mean
    return Counted(requests, stored.prompt_tokens + left * prompts, stored.new_tokens + left * new)


def training_rows(inputs: Inputs, flow: Flow) -> Trained:
    """One row an arm."""
    config, limits = inputs.recipe.training, inputs.bounds
    encoded = encoded_rows(flow.records, inputs.resolved, inputs.tokenizer) if flow.records else {}
    out = unusable(encoded, config.max_length) if encoded else []
    checkpoints = _checkpoints(inputs, flow.records) if out and len(flow.records) == flow.at_most else []
    unmade, seeds = flow.at_most - len(flow.records), len(config.seeds)
    rows = []
    for arm in inputs.resolved.objectives:
        kept = [row for row, left_out in zip(encoded.get(arm, []), out, strict=True) if row and not left_out]
        targets = sum(row.target_tokens for row in kept)
        stored = Counted(len(kept), sum(len(row.input_ids) for row in kept) - targets, targets)
        at_most = Counted(
            stored.requests + unmade,
            stored.prompt_tokens + unmade * limits.context[arm].at_most,
            stored.new_tokens + unmade * limits.target[arm].at_most,
        )
        expected = extrapolate(stored, flow.expected * (len(kept) / len(out) if out else 1.0))
        number = at_most.requests if isnan(expected.requests) else expected.requests
        row = Row("training", arm, stored, expected, at_most, rate=inputs.rates.get(f"training {arm}"), starts=seeds)
        done = sum(name == arm for name, _ in checkpoints) / seeds
        rows.append(row._replace(steps=seeds * optimizer_steps(round(number), config), done=done))
    over_length = share_of(out, flow.at_most, real=True) if out else limits.over_length
    return Trained(rows, over_length, checkpoints)


def _checkpoints(inputs: Inputs, records: Sequence[Record]) -> list[tuple[str, int]]:
    """The checkpoints of these records that a run would find, as (arm, seed)."""
    recipe, folder = inputs.recipe, inputs.folder
    if folder is None:
        return []
    filtered = {row["record_id"] for row in folder.store.query("SELECT record_id FROM drops WHERE stage = 'filters'")}
    kept = [record for record in records if record.id not in filtered]
    rows, _ = build.training_rows(kept, inputs.resolved.objectives, recipe.dropouts, controls_of(recipe))
    student = weights_hash(model_folder(recipe.student.model, recipe.student.revision))
    keys = job_keys(recipe, {arm: build.rows_hash(arm_rows) for arm, arm_rows in rows.items()}, student)
    stamps = {job: read_stamp(folder.checkpoint(*job)) for job in keys}
    return [job for job, stamp in stamps.items() if stamp and stamp.key == keys[job]]


def evaluation_rows(inputs: Inputs, checkpoints: Sequence[tuple[str, int]]) -> list[Row]:
    """One row a task: the base student and every arm and seed."""
    recipe = inputs.recipe
    models = 1 + len(recipe.arms) * len(recipe.training.seeds)
    rows = []
    for label, prompts in inputs.prompts.evaluation.items():
        prompt = prompt_lengths(inputs.tokenizer, prompts, recipe.seed)
        stored = _predictions(inputs, label, checkpoints)
        sampling, samples = recipe.evaluation.answers(label)
        requests = models * len(prompts) * samples
        left = requests - stored.requests
        at_most = Counted(
            requests,
            stored.prompt_tokens + left * prompt.at_most,
            stored.new_tokens + left * sampling.max_tokens,
        )
        expected = extrapolate(stored, requests, prompt.mean)
        row = Row(
            "evaluation", label, stored, expected, at_most, recipe.checkpoint_price, inputs.rates.get("evaluation")
        )
        rows.append(row._replace(starts=models))
    return rows


def _predictions(inputs: Inputs, label: str, checkpoints: Sequence[tuple[str, int]]) -> Counted:
    """The stored predictions of the base student and of checkpoints."""
    recipe, folder = inputs.recipe, inputs.folder
    if folder is None:
        return NOTHING
    keys: set[str] = set()
    for model in [recipe.student.model, *(str(folder.checkpoint(*job)) for job in checkpoints)]:
        identity = checkpoint_backend(recipe, model).identity
        asked = evaluation.requests(inputs.prompts.evaluation[label], recipe.evaluation, identity, recipe.seed, label)
        keys |= stored_keys(folder.store, asked)
    return count(folder.store, keys)
