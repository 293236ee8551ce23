"""Example records and predictions, chosen by rule: the same store always shows the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Row
from typing import NamedTuple, TypeVar

from cgd.store import Store, load_messages

Item = TypeVar("Item")

_COMPLETE = """
SELECT refinement_key FROM records
WHERE draft IS NOT NULL AND critique IS NOT NULL AND refinement IS NOT NULL
  AND prompt_id || ':' || substr(refinement_key, 1, 12) NOT IN (SELECT record_id FROM drops)
"""  # the left-hand side is `cgd.records.Record.id`
_FIRST_SEED = """
SELECT prompt_id, key, strict FROM predictions
WHERE (task, arm, seed) = (
  SELECT task, arm, MIN(seed) FROM current WHERE stage = 'prediction' AND task = ? AND arm = ?)
"""
KINDS = ("fixed", "broken", "right before and after", "wrong before and after", "without a verdict")


class TrainingRecord(NamedTuple):
    """(x, y', c, ŷ) as text."""

    id: str
    prompt: str
    draft: str
    critique: str
    refinement: str


class Prediction(NamedTuple):
    """One reply at evaluation and what the grader said."""

    text: str
    verdict: str


class BeforeAndAfter(NamedTuple):
    """The same evaluation prompt answered by the base student and by a trained one."""

    id: str
    kind: str
    prompt: str
    gold: str
    before: Prediction
    after: Prediction


def training_records(store: Store, count: int) -> list[TrainingRecord]:
    """Complete records that no stage left out, evenly spread over the run's order."""
    keys = [row["refinement_key"] for row in store.query(_COMPLETE)]
    chosen = _spread(list(dict.fromkeys(keys)), count)
    marks = ", ".join("?" * len(chosen))
    rows = {
        row["refinement_key"]: TrainingRecord(
            row["prompt_id"], prompt_text(row["prompt"]), row["draft"], row["critique"], row["refinement"]
        )
        for row in store.query(f"SELECT * FROM records WHERE refinement_key IN ({marks})", chosen)
    }
    return [rows[key] for key in chosen]


def before_and_after(store: Store, task: str, arm: str, count: int) -> list[BeforeAndAfter]:
    """Evaluation prompts as `base` and as an arm's first seed answered them, a few of every kind.

    Kinds are by strict verdict: fixed (wrong before, right after), broken, right or wrong both times, and
    without a verdict on one side. They take turns until `count` is reached; within a kind the choice is
    spread evenly over the task's order.
    """
    pairs: dict[str, list[tuple[str, str]]] = {kind: [] for kind in KINDS}
    before, after = ({row["prompt_id"]: row for row in store.query(_FIRST_SEED, (task, a))} for a in ("base", arm))
    for item, row in before.items():
        if item in after:
            pairs[_kind(row["strict"], after[item]["strict"])].append((row["key"], after[item]["key"]))
    quotas = _take_turns([len(pairs[kind]) for kind in KINDS], count)
    return [
        _load_pair(store, kind, *pair)
        for kind, quota in zip(KINDS, quotas, strict=True)
        for pair in _spread(pairs[kind], quota)
    ]


def prompt_text(messages: str) -> str:
    """A prompt's messages (JSON) for reading: the bare text of a single turn, else turns with their roles."""
    turns = load_messages(messages)
    if len(turns) == 1:
        return turns[0]["content"]
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)


def _kind(before: int | None, after: int | None) -> str:
    if before is None or after is None:
        return "without a verdict"
    if before == after:
        return f"{'right' if after else 'wrong'} before and after"
    return "fixed" if after else "broken"


def _load_pair(store: Store, kind: str, before_key: str, after_key: str) -> BeforeAndAfter:
    before = store.query("SELECT * FROM predictions WHERE key = ?", (before_key,))[0]
    after = store.query("SELECT * FROM predictions WHERE key = ?", (after_key,))[0]
    prompt = prompt_text(before["prompt"])
    gold = "" if before["gold"] is None else before["gold"]
    return BeforeAndAfter(before["prompt_id"], kind, prompt, gold, _prediction(before), _prediction(after))


def _prediction(row: Row) -> Prediction:
    return Prediction(row["text"] or "", _verdict(row))


def _verdict(row: Row) -> str:
    """The grader's finding in words."""
    if row["state"] in (None, "failed"):
        return f"no reply: {row['error_class'] or 'not stored'}"
    cut_off = ", cut off" if row["state"] == "truncated" else ""
    if row["strict"] is None:
        return f"unscored: {row['reason'] or 'not graded'}{cut_off}"
    finding = "right" if row["strict"] else "wrong"
    if row["flexible"] and not row["strict"]:
        finding = "right answer, wrong format"
    extracted = f" (read as {row['extracted']})" if row["extracted"] else ""
    return f"{finding}{extracted}{cut_off}"


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of the items, evenly spaced, in order."""
    taken = min(count, len(items))
    return [items[index * len(items) // taken] for index in range(taken)]


def _take_turns(available: Sequence[int], count: int) -> list[int]:
    """How many each kind gives when kinds take turns: (5, 1, 9) available and 6 wanted give (3, 1, 2)."""
    quotas = [0] * len(available)
    while sum(quotas) < min(count, sum(available)):
        for index, size in enumerate(available):
            if quotas[index] < size and sum(quotas) < count:
                quotas[index] += 1
    return quotas
