"""The plan's rows: what each stage will come to, from what is stored and what the bounds say of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isnan, nan
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from cgd.config import Recipe
from cgd.controls import controls_of
from cgd.data import ChosenPrompts
from cgd.dataset import build
from cgd.generation import stages
from cgd.models import weights_hash
from cgd.plan.known import NOT_BEGUN, Known, known_stage
from cgd.plan.lengths import Bounds, Lengths, encoded_rows, share_of, unusable
from cgd.plan.numbers import UNKNOWN, Counted, OverLength, Rate, Row
from cgd.plugins import Backend
from cgd.records import GeneratedStage, Record
from cgd.resolve import Resolved
from cgd.runfolder import RunFolder
from cgd.training.arms import Job, job_keys
from cgd.training.checkpoint import read_stamp
from cgd.training.order import optimizer_steps


class Inputs(NamedTuple):
    """What every row is made from."""

    recipe: Recipe
    resolved: Resolved
    prompts: ChosenPrompts
    tokenizer: Any
    """The student's."""
    teacher_tokenizer: Any
    """The one that counts the teacher's prompts."""
    bounds: Bounds
    folder: RunFolder | None
    """None where no run was begun."""
    rates: Mapping[str, Rate]
    round: int = 1


class Flow(NamedTuple):
    """Records that reach a stage: those that are stored, how many are expected (NaN: unknown), and at most."""

    records: Sequence[Record]
    expected: float
    at_most: int


class Generated(NamedTuple):
    """The rows of the generating stages, the records that come out of the last one, and what is stored by stage."""

    rows: list[Row]
    flow: Flow
    known: dict[GeneratedStage, Known]


class Trained(NamedTuple):
    """The rows of the arms, the share of training rows that are too long, and the checkpoints a run would find."""

    rows: list[Row]
    over_length: OverLength
    checkpoints: list[Job]


def generated_rows(
    inputs: Inputs, student: Backend | None, alike: Mapping[GeneratedStage, Known] = MappingProxyType({})
) -> Generated:
    """One row a generating stage.

    Args:
        inputs: what is planned.
        student: who drafts; None where its weights are not there yet, so that nothing can be stored.
        alike: what is stored of the same stages in an earlier round, by which a stage without any is expected to go.
    """
    recipe, resolved = inputs.recipe, inputs.resolved
    fresh = [Record(prompt) for prompt in inputs.prompts.training]
    flow = Flow(fresh, len(fresh), len(fresh))
    made = Generated([], flow, {})
    for stage in stages.STAGES:
        backend = student if stage == "draft" else resolved.teacher
        section = recipe.student if stage == "draft" else recipe.teacher
        if section is None or not stages.is_needed(stage, resolved.needs):
            continue
        known = made.known[stage] = _known(inputs, stage, backend, flow.records)
        typical = known if known.first else alike.get(stage, known)
        row, flow = _stage_row(recipe, stage, known, typical, flow, inputs.bounds.prompt[stage], len(fresh))
        made.rows.append(row._replace(price=section.price, rate=inputs.rates.get(stage)))
    return made._replace(flow=flow)


def _known(inputs: Inputs, stage: GeneratedStage, backend: Backend | None, records: Sequence[Record]) -> Known:
    if inputs.folder is None or backend is None or not records:
        return NOT_BEGUN
    asked = stages.requests(stage, records, inputs.recipe, backend.identity)
    config = inputs.recipe.generated[stage]
    return known_stage(inputs.folder.store, stage, config, asked, backend.identity, inputs.recipe.seed)


def _stage_row(  # noqa: PLR0913 - what is stored and what may come
    recipe: Recipe, stage: GeneratedStage, known: Known, typical: Known, flow: Flow, prompt: Lengths, prompts: int
) -> tuple[Row, Flow]:
    """Counts of one stage, and the records that leave it; `typical` says how the ones to come will go."""
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
    second = typical.cut / typical.first if typical.first else nan if len(tries) > 1 else 0.0
    requests = min(stored.requests + to_come * (1 + second) + known.pending, distinct)
    # The prompts of drafts are known before there is one; those of later stages hold texts.
    expected = extrapolate(stored, requests, prompt.mean if stage == "draft" else nan, typical.counted)
    settled = typical.first - typical.pending
    come_through = len(typical.records) / settled if settled else nan
    after = Flow(
        known.records,
        len(known.records) + (to_come + known.pending) * come_through,
        len(known.records) + missing + known.pending,
    )
    return Row(stage, "", stored, expected, at_most), after


def extrapolate(stored: Counted, requests: float, prompt_mean: float = nan, typical: Counted | None = None) -> Counted:
    """So many requests by the means of the stored ones.

    Args:
        stored: what is there.
        requests: how many there will be.
        prompt_mean: prompt tokens of one that is not there yet, where they are known beforehand.
        typical: whose means count in place of the stored ones.
    """
    left = requests - stored.requests
    if not left:
        return stored
    if isnan(left):
        return UNKNOWN
    means = stored if typical is None else typical
    prompts, new = (total / means.requests if means.requests else nan for total in means[1:])
    prompts = prompts if isnan(prompt_mean) else prompt_mean
    return Counted(requests, stored.prompt_tokens + left * prompts, stored.new_tokens + left * new)


def training_rows(
    inputs: Inputs, flow: Flow, student: Path | None, typical: Mapping[str, Counted] = MappingProxyType({})
) -> Trained:
    """One row an arm.

    Args:
        inputs: what is planned.
        flow: the records to train on.
        student: folder of the model to start from; None where it is not there yet.
        typical: rows of an earlier round by arm, whose means count where there are none.
    """
    config, limits = inputs.recipe.training, inputs.bounds
    encoded = encoded_rows(flow.records, inputs.resolved, inputs.tokenizer) if flow.records else {}
    out = unusable(encoded, config.max_length) if encoded else []
    checkpoints = _checkpoints(inputs, flow.records, student) if out and len(flow.records) == flow.at_most else []
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
        means = stored if stored.requests else typical.get(arm, stored)
        expected = extrapolate(stored, flow.expected * (len(kept) / len(out) if out else 1.0), typical=means)
        number = at_most.requests if isnan(expected.requests) else expected.requests
        row = Row("training", arm, stored, expected, at_most, rate=inputs.rates.get(f"training {arm}"), starts=seeds)
        done = sum(name == arm for name, _ in checkpoints) / seeds
        rows.append(row._replace(steps=seeds * optimizer_steps(round(number), config), done=done))
    over_length = share_of(out, flow.at_most, real=True) if out else limits.over_length
    return Trained(rows, over_length, checkpoints)


def _checkpoints(inputs: Inputs, records: Sequence[Record], student: Path | None) -> list[Job]:
    """The checkpoints of these records that a run would find, as (arm, seed)."""
    recipe, folder = inputs.recipe, inputs.folder
    if folder is None or student is None:
        return []
    filtered = "SELECT record_id FROM drops WHERE stage = 'filters'"
    gone = {row["record_id"] for row in folder.store.query(filtered)} if inputs.round == 1 else set()
    kept = [record for record in records if record.id not in gone]
    rows, _ = build.training_rows(kept, inputs.resolved.objectives, recipe.dropouts, controls_of(recipe))
    hashes = {arm: build.rows_hash(arm_rows) for arm, arm_rows in rows.items()}
    keys = job_keys(recipe, hashes, weights_hash(student))
    stamps = {job: read_stamp(folder.checkpoint(*job, inputs.round)) for job in keys}
    return [job for job, stamp in stamps.items() if stamp and stamp.key == keys[job]]
