"""Records that are left out of every arm, each with its reason: rejected, contaminated, faulty, of little gain."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from cgd.analysis.contamination import find_contaminated, removals
from cgd.analysis.uncertainty import TokenScores, gains
from cgd.audits import Audit, audit
from cgd.config import Recipe
from cgd.config.dataset import ByGain, Fault
from cgd.errors import UserError
from cgd.grading import GRADER, GradingItem, grade_many
from cgd.models import model_folder, weights_hash
from cgd.plugins import build_task
from cgd.prompts import conversation_text
from cgd.records import Prompt, Record, content_hash
from cgd.reviews import rejected
from cgd.runfolder import RunFolder
from cgd.scoring.run import score_records
from cgd.store import Drop, Store

Verdicts = tuple[bool | None, bool | None]
"""On draft and refinement; None where unscored."""


def filter_records(
    folder: RunFolder, recipe: Recipe, records: Sequence[Record], tests: Mapping[str, Sequence[Prompt]]
) -> list[Record]:
    """The records to train on; what is left out goes to the store's drops, under the first reason that holds.

    Args:
        folder: the run.
        recipe: its recipe.
        records: as far as they were made; complete ones where the recipe names faults or gains.
        tests: the benchmarks' prompts.

    Raises:
        UserError: nothing is left.
    """
    config = recipe.dataset
    reasons = rejected(folder.store)
    drops = [Drop(record.id, reasons[record.id]) for record in records if record.id in reasons]
    left = _without(records, drops)
    if config.contaminated == "drop":
        drops += _contaminated(left, tests)
        left = _without(left, drops)
    if config.drop:
        drops += _faulty(folder.store, recipe, left)
        left = _without(left, drops)
    gain = information_gains(folder, recipe, left) if config.needs_gains else {record.id: 0.0 for record in left}
    drops += [Drop(record.id, "its texts can't be scored") for record in left if record.id not in gain]
    if config.min_gain is not None:
        drops += [
            Drop(key, f"information gain {value:.3f} nats a token, below {config.min_gain:g}")
            for key, value in gain.items()
            if value < config.min_gain
        ]
    if config.by_gain:
        left = _without(left, drops)
        drops += _outside({record.id: gain[record.id] for record in left}, config.by_gain, recipe.seed)
    if config.weight_by_gain:
        drops += [
            Drop(record.id, f"information gain {gain[record.id]:.3f} nats a token, so of no weight")
            for record in _without(left, drops)
            if gain[record.id] <= 0
        ]
    folder.store.set_drops("filters", drops)
    kept = _without(records, drops)
    if records and not kept:
        raise UserError(
            f"[dataset] and the reviews leave none of {len(records)} records to train on (the first one: "
            f"{drops[0].reason}); the store's table `drops` has every reason. Name less under contaminated, drop, "
            "min_gain, by_gain or weight_by_gain, or reject fewer"
        )
    return _weighted(kept, gain) if config.weight_by_gain else kept


def _weighted(records: Sequence[Record], gain: Mapping[str, float]) -> list[Record]:
    """The records with weights in proportion to their gains, 1 on average; a prompt's own weight stays a factor."""
    mean = fmean(gain[record.id] for record in records)
    weights = [float(record.prompt.meta.get("weight", 1.0)) * gain[record.id] / mean for record in records]
    return [
        replace(record, prompt=replace(record.prompt, meta={**record.prompt.meta, "weight": weight}))
        for record, weight in zip(records, weights, strict=True)
    ]


def information_gains(folder: RunFolder, recipe: Recipe, records: Sequence[Record]) -> dict[str, float]:
    """Information gain of each critique, H(ŷ | x, y') − H(ŷ | x, y', c) in nats a token, by record id.

    The scoring model is the student before training. Scores are kept in the store and not made again; a record whose
    texts the student's tokenizer does not give back is absent.
    """
    student = model_folder(recipe.student.model, recipe.student.revision)
    scored = score_records(folder.store, student, records, {}, "score under the student")
    rows = folder.store.query(
        "SELECT key, log_p, entropy FROM scores WHERE model = ? AND target = 'refinement'", (weights_hash(student),)
    )
    known = {row["key"]: TokenScores((), json.loads(row["log_p"]), json.loads(row["entropy"])) for row in rows}
    return gains(
        {
            record_id: {(asked.target, asked.context): known[key] for asked, key in keys.items() if key in known}
            for record_id, keys in scored.keys.items()
        }
    )


def draft_and_refinement_verdicts(store: Store, recipe: Recipe, records: Sequence[Record]) -> dict[str, Verdicts]:
    """Flexible verdicts on draft and refinement by record id; they are kept as those on predictions are."""
    task = build_task(recipe.data.task, recipe.data.options)
    drafts = {row["refinement_key"]: row["draft_key"] for row in store.query("SELECT * FROM records")}
    items: dict[str, GradingItem] = {}
    for record in records:
        if record.prompt.answer is not None:
            rule = task.rule(record.prompt)
            items[record.key] = GradingItem(record.refinement, record.prompt.answer, rule)
            items[drafts[record.key]] = GradingItem(record.draft, record.prompt.answer, rule)
    graded = store.graded(list(items), GRADER)
    missing = {key: item for key, item in items.items() if key not in graded}
    store.add_grades(dict(zip(missing, grade_many(list(missing.values())), strict=True)), GRADER)
    flexible = {
        row["key"]: None if row["flexible"] is None else bool(row["flexible"])
        for row in store.query("SELECT key, flexible FROM grades")
    }
    return {record.id: (flexible.get(drafts[record.key]), flexible.get(record.key)) for record in records}


def _without(records: Sequence[Record], drops: Sequence[Drop]) -> list[Record]:
    gone = {drop.record_id for drop in drops}
    return [record for record in records if record.id not in gone]


def _contaminated(records: Sequence[Record], tests: Mapping[str, Sequence[Prompt]]) -> list[Drop]:
    rows = [
        {
            "prompt_id": record.id,  # each record by itself: another critique of the same prompt may be clean
            "prompt": conversation_text(record.prompt.messages),
            "critique": record.critique,
            "refinement": record.refinement,
        }
        for record in records
    ]
    texts = {
        label: {prompt.id: conversation_text(prompt.messages) for prompt in prompts} for label, prompts in tests.items()
    }
    return removals(find_contaminated(rows, texts))


_FAULTS: Mapping[Fault, tuple[str, Callable[[Audit], bool]]] = {
    "answer_in_critique": ("critique states the answer", lambda found: bool(found.answer_in_critique)),
    "solution_in_critique": ("critique states part of the solution", lambda found: found.solution_in_critique),
    "meta_talk": ("refinement talks of its making", lambda found: found.meta_talk),
    "unspecific": ("critique names nothing of this draft", lambda found: not found.specific),
    "unchanged": ("refinement is the draft", lambda found: found.unchanged),
    "refinement_wrong": ("refinement is wrong", lambda found: found.refinement_right is False),
    "verdict_wrong": ("critique's verdict on the draft is wrong", lambda found: _misjudges(found)),
}
_GRADED: frozenset[Fault] = frozenset({"refinement_wrong", "verdict_wrong"})


def _misjudges(found: Audit) -> bool:
    known = found.verdict is not None and found.draft_right is not None
    return known and (found.verdict == "right") != found.draft_right


def _faulty(store: Store, recipe: Recipe, records: Sequence[Record]) -> list[Drop]:
    """The first of the recipe's faults that each record has."""
    named = recipe.dataset.drop
    verdicts = draft_and_refinement_verdicts(store, recipe, records) if _GRADED.intersection(named) else {}
    drops = []
    for record in records:
        found = audit(record, *verdicts.get(record.id, (None, None)))
        reasons = [reason for reason, has_it in map(_FAULTS.__getitem__, named) if has_it(found)]
        if reasons:
            drops.append(Drop(record.id, reasons[0]))
    return drops


def _outside(gain: Mapping[str, float], by_gain: ByGain, seed: int) -> list[Drop]:
    """What is not among the share to keep, at least one record; ties and the random order follow the seed."""
    sign = {"highest": -1.0, "lowest": 1.0, "random": 0.0}[by_gain.order]
    order = sorted(gain, key=lambda key: (sign * gain[key], content_hash(["by_gain", seed, key])))
    share = f"{100 * by_gain.keep:g}%"
    reason = f"not in a random {share}" if by_gain.order == "random" else f"not in the {by_gain.order} {share} by gain"
    return [Drop(key, reason) for key in order[max(1, round(by_gain.keep * len(order))) :]]
