"""Control critiques: what an arm reads in place of a record's own critique; prompt, draft and target stay.

They tell what it is in a critique that teaches: its being there, its being about this draft, the answer that it leaks,
or its being right. No model is asked, so paid generations serve every control. Whatever is drawn hangs on the recipe's
seed and the record alone, not on the order of records.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Literal, NamedTuple

from cgd.config import ArmConfig, Recipe
from cgd.config.training import Corruption
from cgd.errors import UserError
from cgd.prompts import render
from cgd.records import Record, TrainingRow, content_hash
from cgd.text import critique_verdict

Source = Literal["own", "none", "shuffled", "placeholder", "answer_only", "other_draft"]
LACKING: Mapping[str, str] = {"answer_only": "reference answer", "other_draft": "critique of another draft"}
"""What a record may not have for a control."""


class Control(NamedTuple):
    """Which critique an arm reads, and the seed of what is drawn."""

    source: Source
    corruption: Corruption | None
    seed: int


def controls_of(recipe: Recipe) -> dict[str, Control]:
    """Controls by arm, of the arms that read another critique than the record's own."""
    return {arm.name: Control(arm.critique, arm.corrupt, recipe.seed) for arm in recipe.arms if is_controlled(arm)}


def is_controlled(arm: ArmConfig) -> bool:
    """Whether an arm reads another critique than the record's own."""
    return arm.critique != "own" or arm.corrupt is not None


def controlled(records: Sequence[Record], control: Control) -> dict[str, Record]:
    """Records as an arm sees them, by id; one that lacks what the control needs (`LACKING`) is absent.

    Args:
        records: with critiques.
        control: which critique takes the place of their own.

    Raises:
        UserError: shuffled, and more than half of the records are of one prompt.
    """
    critiques: Mapping[str, str | None]
    match control.source:
        case "own":
            critiques = {record.id: corrupted(record, control) or record.critique for record in records}
        case "none":
            critiques = {record.id: None for record in records}
        case "placeholder":
            critiques = {record.id: render("control.jinja", answer=None) for record in records}
        case "answer_only":
            critiques = {
                record.id: render("control.jinja", answer=record.prompt.answer)
                for record in records
                if record.prompt.answer is not None
            }
        case "shuffled":
            critiques = _shuffled(records, control.seed)
        case "other_draft":
            critiques = _of_other_drafts(records, control.seed)
    return {record.id: replace(record, critique=critiques[record.id]) for record in records if record.id in critiques}


def corruption_counts(
    records: Sequence[Record], rows: Mapping[str, Sequence[TrainingRow]], controls: Mapping[str, Control]
) -> dict[str, dict[str, int]]:
    """How many critiques were made wrong.

    Args:
        records: of which the rows were made.
        rows: by arm.
        controls: by arm.

    Returns:
        By arm that corrupts: its `rows`, those of them that were `drawn`, and of these how many `changed`.
    """
    by_id = {record.id: record for record in records}
    counts = {}
    for arm, control in controls.items():
        if control.corruption is not None and arm in rows:
            drawn = [record for row in rows[arm] if _is_drawn(record := by_id[row.record_id], control)]
            changed = sum(corrupted(record, control) is not None for record in drawn)
            counts[arm] = {"rows": len(rows[arm]), "drawn": len(drawn), "changed": changed}
    return counts


def corrupted(record: Record, control: Control) -> str | None:
    """A record's critique made wrong; None where it was not drawn, or holds nothing of the kind that is to be wrong."""
    if control.corruption is None or not _is_drawn(record, control):
        return None
    number = _hashed("corrupt how", control.seed, record)
    return corrupt(record.critique or "", control.corruption.kind, number)


def corrupt(critique: str, kind: Literal["verdict", "step", "value", "any"], number: int) -> str | None:
    """Make a critique wrong by rule.

    A wrong *verdict*: the line "Verdict: ..." says the opposite; where there is none, one is added that contradicts the
    words. A wrong *step*: every "step 2", "second line" names a neighbouring one, all moved alike. A wrong *value*: one
    number, wherever it stands, is 1 to 9 units of its last digit larger.

    Args:
        critique: the text.
        kind: what shall be wrong; `any` is one of the three that can be.
        number: decides among the possible changes.

    Returns:
        Another text, or None where it has no verdict, names no step or holds no number.
    """
    if kind != "any":
        return _RULES[kind](critique, number)
    kinds = list(_RULES)
    first = number % len(kinds)
    tried = (_RULES[name](critique, number // len(kinds)) for name in [*kinds[first:], *kinds[:first]])
    return next((text for text in tried if text is not None), None)


def _shuffled(records: Sequence[Record], seed: int) -> dict[str, str | None]:
    """Every critique once, none at its own prompt.

    Records lie in a circle, those of a prompt side by side, prompts in an order drawn by the seed. Taken from as many
    places ahead as the most frequent prompt has records, a critique is never of the same prompt.
    """
    of_prompt: dict[str, list[Record]] = {}
    for record in records:
        of_prompt.setdefault(record.prompt.id, []).append(record)
    step = max(map(len, of_prompt.values()), default=0)
    if 2 * step > len(records):
        raise UserError(
            'critique = "shuffled" gives every record the critique of another prompt, but '
            f"{step} of {len(records)} records are of one prompt; take more prompts (data.n), or this arm away"
        )
    prompts = sorted(of_prompt, key=lambda prompt: content_hash(["shuffled", seed, prompt]))
    circle = [record for prompt in prompts for record in sorted(of_prompt[prompt], key=lambda record: record.key)]
    return {record.id: circle[(i + step) % len(circle)].critique for i, record in enumerate(circle)}


def _of_other_drafts(records: Sequence[Record], seed: int) -> dict[str, str | None]:
    of_prompt: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: record.key):
        of_prompt.setdefault(record.prompt.id, []).append(record)
    found = {}
    for record in records:
        others = [other for other in of_prompt[record.prompt.id] if other.draft != record.draft]
        if others:
            found[record.id] = others[_hashed("other draft", seed, record) % len(others)].critique
    return found


def _hashed(what: str, seed: int, record: Record) -> int:
    """A number in [0, 2^48) that is as good as random."""
    return int(content_hash([what, seed, record.prompt.id, record.key])[:12], 16)


def _is_drawn(record: Record, control: Control) -> bool:
    assert control.corruption is not None
    return _hashed("corrupt", control.seed, record) < control.corruption.p * 2**48


_OPPOSITE = {"right": "wrong", "wrong": "right", "correct": "incorrect", "incorrect": "correct"}
_VERDICT = re.compile(r"^([^\w\n]*verdict\W{1,8})(right|wrong|correct|incorrect)\b", re.IGNORECASE | re.MULTILINE)
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
_PART = r"(?:step|line|sentence|paragraph|equation|calculation)s?"
_STEP = re.compile(
    rf"\b{_PART}\s{{1,3}}(?P<number>[0-9]{{1,3}})\b"
    rf"|\b(?P<ordinal>{'|'.join(_ORDINALS[:-1])})(?=(?:\s{{1,3}}\w{{1,20}})?\s{{1,3}}{_PART}\b)",
    re.IGNORECASE,
)
_VALUE = re.compile(
    rf"{_STEP.pattern}|^[ \t]{{0,8}}[0-9]{{1,3}}[.)]\s"  # a step's number is no value, nor is that of an item in a list
    r"|(?<![\w.])(?P<value>(?:[0-9]{1,3}(?:,[0-9]{3}){1,4}|[0-9]{1,15})(?:\.[0-9]{1,9})?)(?!\w)",
    re.IGNORECASE | re.MULTILINE,
)


def _wrong_verdict(critique: str, number: int) -> str | None:
    verdict = critique_verdict(critique)
    if verdict is None:
        return None
    text = _VERDICT.sub(lambda found: found[1] + _in_case(_OPPOSITE[found[2].lower()], found[2]), critique)
    if critique_verdict(text) == _OPPOSITE[verdict]:
        return text
    return f"{critique}\n\nVerdict: {_OPPOSITE[verdict]}"


def _wrong_step(critique: str, number: int) -> str | None:
    shift = 1 if number % 2 else -1

    def moved(found: re.Match[str]) -> str:
        if found["ordinal"]:
            place = _ORDINALS.index(found["ordinal"].lower()) + 1
            return _in_case(_ORDINALS[_neighbour(place, shift) - 1], found["ordinal"])
        return found[0].removesuffix(found["number"]) + str(_neighbour(int(found["number"]), shift))

    text = _STEP.sub(moved, critique)
    return text if text != critique else None


def _neighbour(place: int, shift: int) -> int:
    """The place before or after; after the first comes the second in either case."""
    return place + shift if place + shift >= 1 else place + 1


def _wrong_value(critique: str, number: int) -> str | None:
    values = list(dict.fromkeys(found["value"] for found in _VALUE.finditer(critique) if found["value"]))
    if not values:
        return None
    old, units = values[number % len(values)], 1 + number // len(values) % 9
    value = Decimal(old.replace(",", ""))
    wrong = value + units * Decimal(1).scaleb(int(value.as_tuple().exponent))
    new = f"{wrong:,f}" if "," in old else f"{wrong:f}"
    return _VALUE.sub(lambda found: new if found["value"] == old else found[0], critique)


def _in_case(word: str, model: str) -> str:
    if model.isupper():
        return word.upper()
    return word.capitalize() if model[0].isupper() else word


_RULES = {"verdict": _wrong_verdict, "step": _wrong_step, "value": _wrong_value}
