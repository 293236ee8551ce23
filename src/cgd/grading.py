r"""Grades predictions against gold answers, strictly and flexibly.

Strict: the asked format was followed and its answer equals the gold. Flexible: any answer that can be recovered
equals it. Both verdicts come with the reason; an item whose comparison was stopped or crashed is unscored (None),
which is not the same as wrong.

Plain numbers, words, bases and clock times are compared here, exactly; all else goes to math-verify in its own
processes (`cgd.grading_pool`), which are started only when something needs them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import NamedTuple

from cgd.grading_answers import LONGEST_ANSWER, normalise_math, normalise_text, plain_number, stated_number
from cgd.grading_finding import LONGEST_PREDICTION, asked_answer, own_words
from cgd.grading_kinds import answer_of, choice, same_list, truth, within
from cgd.grading_pool import Comparison, compare_many
from cgd.records import AnswerKind, Grade, GradingRule

GRADER = f"math-verify/{version('math-verify')} cgd/3"
"""Names the rules a grade was made by; raise our own number with every change that can change a verdict."""

Reason = str
"""Scored: `equal`, `different`, `no_answer`, `too_long`. Unscored: `timeout`, `no_prediction`, `error:<what>`."""

_WORDS = re.compile(r"\(?[A-J]\)?|yes|no|(?!infinity)[A-Za-z]{4,}(?:[ -][A-Za-z]+)*", re.IGNORECASE)
_WRAPPED_WORDS = re.compile(r"\\(?:text|textbf|mbox|mathrm)\s*\{[^{}]*\}")
_CHOICE = re.compile(r"\(?([a-j])(?:\)|[.:])\s.*")
_BASED = re.compile(r"([0-9A-F]+)(?:(?:_|\(?base)\(?([0-9]{1,2}|[a-z]+)\)*)?")
_BASES = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_CLOCK = re.compile(r"0*(\d+(?::\d+)+(?:[ap]m)?)")


class GradingItem(NamedTuple):
    """One prediction (None where the model gave none) to be graded."""

    prediction: str | None
    gold: str
    rule: GradingRule


NO_PREDICTION = Grade(strict=None, flexible=None, format=False, extracted=None, reason="no_prediction")


class _Question(NamedTuple):
    answer: str
    gold: str
    kind: AnswerKind
    tolerance: float


class _Reading(NamedTuple):
    """The questions that an item puts: one for each of its two verdicts; None where it has no such answer."""

    strict: _Question | None
    flexible: _Question | None


def grade_many(items: Sequence[GradingItem], *, workers: int = 2, limit_s: float = 5.0) -> list[Grade]:
    """Grade items, in their order.

    Args:
        items: predictions, golds and rules.
        workers: most processes that run math-verify at a time.
        limit_s: CPU seconds for one comparison by math-verify.

    Raises:
        UserError: instructions are to be checked (IFEval), and lm-evaluation-harness is not installed.
    """
    readings = [_read(item) for item in items]
    reasons: dict[_Question | None, Reason] = {None: "no_answer"}
    hard: list[_Question] = []
    for question in dict.fromkeys(question for reading in readings for question in reading if question):
        reason = _quick_reason(question)
        if reason is None:
            hard.append(question)
        else:
            reasons[question] = reason
    comparisons = [
        Comparison(normalise_math(question.answer), normalise_math(question.gold), question.tolerance)
        for question in hard
    ]
    reasons.update(zip(hard, compare_many(comparisons, workers, limit_s), strict=True))
    return [_verdicts(item, reading, reasons) for item, reading in zip(items, readings, strict=True)]


def _verdicts(item: GradingItem, reading: _Reading, reasons: Mapping[_Question | None, Reason]) -> Grade:
    if item.prediction is None:
        return NO_PREDICTION
    if item.rule.kind == "instructions":
        return _instructed(item.prediction, item.gold)
    return _grade(reading, reasons)


def _instructed(prediction: str, instructions: str) -> Grade:
    """IFEval's strict and loose verdicts; there is no answer, and the format is what is asked."""
    from cgd.grading_instructions import follow  # its checkers are an extra

    followed = follow(prediction, instructions)
    if followed is None:
        return Grade(strict=None, flexible=None, format=False, extracted=None, reason="error:checkers")
    strict, loose = followed
    return Grade(strict, loose, format=strict, extracted=None, reason="equal" if strict else "different")


def _read(item: GradingItem) -> _Reading:
    kind, answer_format, tolerance = item.rule
    if kind == "instructions":
        return _Reading(None, None)
    text = own_words((item.prediction or "")[-LONGEST_PREDICTION:])
    asked = asked_answer(text, answer_format)
    found = answer_of(text, kind) or asked
    return _Reading(
        strict=_Question(asked, item.gold, kind, tolerance) if asked else None,
        flexible=_Question(found, item.gold, kind, tolerance) if found else None,
    )


def _grade(reading: _Reading, reasons: Mapping[_Question | None, Reason]) -> Grade:
    strict = _verdict(reasons[reading.strict])
    flexible = strict or _verdict(reasons[reading.flexible])
    if strict is None and not flexible:
        flexible = None  # were the comparison to end well, both would be right
    decisive = reading.flexible if strict is False else reading.strict
    return Grade(
        strict=strict,
        flexible=flexible,
        format=reading.strict is not None,
        extracted=decisive.answer[:LONGEST_ANSWER] if decisive else None,
        reason=reasons[decisive],
    )


def _verdict(reason: Reason) -> bool | None:
    if reason == "equal":
        return True
    return False if reason in ("different", "no_answer", "too_long") else None


def _quick_reason(question: _Question) -> Reason | None:
    """The reason where it needs no math-verify, else None."""
    if len(question.answer) > min(max(LONGEST_ANSWER, 2 * len(question.gold)), 20 * LONGEST_ANSWER):
        return "too_long"
    if question.kind not in ("math", "tolerance"):
        return _by_kind(question)
    if question.tolerance:
        near = within(question.answer, question.gold, question.tolerance)
        if near is not None:
            return _said(near)
    answer, gold = normalise_math(question.answer), normalise_math(question.gold)
    if answer == gold:
        return "equal"
    gold_number = plain_number(gold)
    if gold_number is not None:
        number = stated_number(answer)
        if number is not None:
            return _said(number.equals(gold_number))
        if not re.search(r"[\d\\]", answer) and answer != "e":
            return "different"  # words or letters alone: never a number
    elif _WORDS.fullmatch(gold) or _WRAPPED_WORDS.fullmatch(gold):
        return _said(_same_text(answer, gold))
    return _same_notation(answer, gold)


def _by_kind(question: _Question) -> Reason | None:
    answer, gold = question.answer, question.gold
    if question.kind == "choice":
        return _said(choice(answer) is not None and choice(answer) == choice(gold))
    if question.kind == "boolean":
        return _said(truth(answer) is not None and truth(answer) == truth(gold))
    if question.kind == "list":
        equal = same_list(answer, gold)
        return None if equal is None else _said(equal)
    return _said(_same_text(answer, gold))


def _said(equal: bool) -> Reason:
    return "equal" if equal else "different"


def _same_text(answer: str, gold: str) -> bool:
    answer, gold = normalise_text(answer), normalise_text(gold)
    choice = _CHOICE.fullmatch(answer) if len(gold) == 1 else None
    return answer == gold or (choice is not None and choice[1] == gold)


def _same_notation(answer: str, gold: str) -> Reason | None:
    """Clock times or ratios (6:30) and numbers in a base (2516_8): to math-verify they are arithmetic."""
    answer, gold = (re.sub(r"\\text|\\mathrm|[{}\s]", "", side) for side in (answer, gold))
    times = [_CLOCK.fullmatch(side.replace(".", "").casefold()) for side in (answer, gold)]
    if any(times):
        return _said(all(times) and len({time[1] for time in times if time}) == 1)
    based = [_BASED.fullmatch(side) for side in (answer, gold)]
    if not any(number and number[2] for number in based):
        return None
    first, second = based
    if first is None or second is None or first[1] != second[1]:
        return "different"
    bases = {str(_BASES.index(base) + 2) if base in _BASES else base for base in (first[2], second[2]) if base}
    return _said(len(bases) == 1)
