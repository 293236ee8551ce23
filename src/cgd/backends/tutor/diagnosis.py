"""From a draft to what is wrong with it, in words, and to the worked solution that keeps what was right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations
from typing import Literal, NamedTuple

from cgd.backends.tutor.drafts import NUMBER, Calculation, Number, Step, Steps, find_equations, to_fraction

Reveal = Literal["none", "step", "answer"]

ORDINALS = ("first", "second", "third", "fourth")
MAX_QUOTE = 30
"""A longer answer line is not quoted (characters)."""
ANSWER_LINE = re.compile(r"\banswer\s?:.*", re.IGNORECASE)
ANSWER = re.compile(rf"\banswer(?: is|\s?:)[ \t]{{0,3}}{NUMBER}", re.IGNORECASE)
SPOKEN = re.compile(r"\b(?:add|subtract|multipl|divid)[a-z]{0,5}\b", re.IGNORECASE)

# What is wrong, by kind; every number in it is one that the draft wrote.
WORDS = {
    "right": "Every step is right, and so is the answer line.",
    "silent": "The draft shows no calculation: each step must be worked out.",
    "spoken": "The draft only speaks of '{quote}' and shows no calculation: each step must be worked out.",
    "unfounded": "'{quote}' comes without any calculation: each step must be worked out.",
    "unfinished": "'{quote}' is the right calculation, but its result is missing.",
    "result": "'{quote}' is the right calculation, but its result is wrong.",
    "order": "In the {step} step, '{quote}' has the right numbers the wrong way round.",
    "operation": "In the {step} step, '{quote}' has the right numbers but the wrong operation.",
    "twice": "In the {step} step, '{quote}' uses {number} twice.",
    "foreign": "In the {step} step, '{quote}' uses {number}, which is no number of this problem.",
    "carry": "The {step} step, '{quote}', should go on from the result before it, not from {number}.",
    "operand": "In the {step} step, '{quote}' uses {number}, which does not belong there.",
    "mixed": "In the {step} step, '{quote}' uses {number}, which does not belong there, and the wrong operation.",
    "irrelevant": "'{quote}' is not the {step} step: it does not use the numbers of that step.",
    "skipped": "'{quote}' comes too early: the {step} step is not shown before it.",
    "missing": "'{quote}' is right, but after it the {step} step is missing.",
    "extra": "The steps are right, but '{quote}' after them is not part of the solution.",
    "unanswered": "The steps are right, but after '{quote}' the final 'Answer:' line is missing.",
    "format": "The steps are right, but {quote} is not a bare number on a line of its own.",
    "answer": "The steps are right, but {quote} does not give the result of the last step.",
    "trailing": "The steps and the answer are right, but {quote} is not the last line.",
}


class Fault(NamedTuple):
    """What is wrong, with the draft's own words for it."""

    kind: str
    """Key of `WORDS`."""
    quote: str = ""
    number: str | None = None


class Diagnosis(NamedTuple):
    """The first thing wrong with a draft."""

    fault: Fault
    plan: Steps
    """The steps in the order that the draft follows."""
    position: int
    """The step at fault; the number of steps where all are right."""
    lines: tuple[str, ...]
    """The steps worked out, in the draft's own operand order where it has them right."""


def diagnose(steps: Steps, draft: str) -> Diagnosis:
    """Find the first thing wrong with a draft; steps count as right in any order that leads to the result."""
    calculations: list[Calculation] = []
    for equation in find_equations(draft):
        calculations += _as_steps(equation, steps)
    found = [_follow(plan, calculations, draft) for plan in (steps, *_reordered(steps))]
    by_parts = (_follow(plan, calculations, draft) for plan in _by_parts(steps))
    found += [diagnosis for diagnosis in by_parts if diagnosis.position == len(diagnosis.plan)]
    return max(found, key=_progress)


def critique_text(diagnosis: Diagnosis, reveal: Reveal) -> str:
    """Say what is wrong with the draft; `reveal` adds the calculation, or all results, from there on."""
    fault, plan, position, _ = diagnosis
    step = ORDINALS[position] if position < len(ORDINALS) else "next"
    text = WORDS[fault.kind].format(step=step, quote=fault.quote, number=fault.number)
    if reveal == "step" and position < len(plan) and fault.kind not in ("unfinished", "result"):
        return f"{text} The calculation there is {plan[position].expression}."
    if reveal == "answer" and fault.kind != "right":
        rest = [right.line for right in plan[position:]]
        return f"{text} Correct: {', '.join([*rest, f'answer {plan[-1].result}'])}."
    return text


def refinement_text(diagnosis: Diagnosis, draft: str) -> str:
    """A right draft as it stands; otherwise the worked steps, one a line, and the answer line."""
    if diagnosis.fault.kind == "right":
        return draft.strip()
    return "\n".join([*diagnosis.lines, f"Answer: {diagnosis.plan[-1].result}"])


def _progress(diagnosis: Diagnosis) -> float:
    """How far a draft follows a plan: its right steps, and half for one with a wrong result."""
    return diagnosis.position + 0.5 * (diagnosis.fault.kind in ("unfinished", "result"))


def _follow(plan: Steps, calculations: Sequence[Calculation], draft: str) -> Diagnosis:
    """Walk through the draft's calculations along one plan, up to the first that is wrong."""
    done, fault, last = 0, None, None
    for calculation in calculations:
        if done < len(plan) and calculation.is_right(plan[done]):
            done, last = done + 1, calculation
        elif not any(calculation.is_right(step) for step in plan[:done]):
            fault = _step_fault(calculation, plan, done)
            break
    if fault is None:
        if last is None:
            fault = _silence(draft)
        elif done < len(plan):
            fault = Fault("missing", last.quote)
        else:
            fault = _answer_fault(draft, plan[-1].result, last)
    return Diagnosis(fault, plan, done, tuple(_line(step, calculations) for step in plan))


def _step_fault(calculation: Calculation, plan: Steps, done: int) -> Fault:
    """What is wrong with a calculation where the step after the `done` first ones is due."""
    quote = calculation.quote
    if done == len(plan):
        return Fault("extra", quote)
    step = plan[done]
    if calculation.sets_up(step):
        return Fault("unfinished" if calculation.result is None else "result", quote)
    if sorted(calculation.operands) == sorted(step.operands):
        return Fault("order" if calculation.operator == step.operator else "operation", quote)
    if any(calculation.is_right(later) for later in plan[done + 1 :]):
        return Fault("skipped", quote)
    wrong = [number for number in (calculation.left, calculation.right) if number.value not in step.operands]
    number = (wrong or [calculation.right])[0].text
    if len(wrong) == 2 or number is None:
        return Fault("irrelevant", quote)
    return Fault(_operand_kind(calculation, wrong, plan, done), quote, number)


def _operand_kind(calculation: Calculation, wrong: Sequence[Number], plan: Steps, done: int) -> str:
    """In what way one operand is wrong (where none is foreign to the step, one is used twice)."""
    if not wrong:
        return "twice"
    if calculation.operator != plan[done].operator:
        return "mixed"
    if wrong[0].value not in [*_givens(plan), *(step.result for step in plan[:done])]:
        return "foreign"
    lacking = set(plan[done].operands).difference(calculation.operands)
    return "carry" if done and plan[done - 1].result in lacking else "operand"


def _silence(draft: str) -> Fault:
    """A draft without a calculation: an answer out of nowhere, an operation only named, or not even that."""
    for kind, pattern in (("unfounded", ANSWER), ("spoken", SPOKEN)):
        found = pattern.search(draft)
        if found and len(found.group()) <= MAX_QUOTE:
            return Fault(kind, found.group().strip())
    return Fault("silent")


def _answer_fault(draft: str, gold: int, last: Calculation) -> Fault:
    """What is wrong with the answer line where all steps are right."""
    text, line = draft.strip(), f"Answer: {gold}"
    if text.split("\n")[-1] == line:
        return Fault("right")
    found = [answer.strip() for answer in ANSWER_LINE.findall(text)]
    if not found:
        return Fault("unanswered", last.quote)
    if len(found[-1]) > MAX_QUOTE:
        return Fault("format", "the 'Answer:' line")
    quote = f"'{found[-1]}'"
    if found[-1] == line:
        return Fault("format" if text.endswith(line) else "trailing", quote)
    numbers = [to_fraction(number) for number in re.findall(f"-?{NUMBER}", found[-1])]
    return Fault("answer" if numbers and gold not in numbers else "format", quote)


def _line(step: Step, calculations: Sequence[Calculation]) -> str:
    """The step as a line, in the draft's operand order where the draft has it right."""
    right = [calculation for calculation in calculations if calculation.is_right(step)]
    left_value, right_value = right[0].operands if right else step.operands
    return f"{left_value} {step.operator} {right_value} = {step.result}"


def _as_steps(equation: list[Calculation], steps: Steps) -> list[Calculation]:
    """An equation's calculations; the worked steps where one true line joins all numbers to the result.

    "3 * 4 + 2 * 4 = 20" is as right as "(3 + 2) * 4 = 20".
    """
    leaves = {number.value for part in equation for number in (part.left, part.right) if number.text}
    joins_all = len(equation) > 1 and leaves == set(_givens(steps))
    if not (joins_all and equation[-1].result == equation[-1].value == steps[-1].result):
        return equation
    return [
        Calculation(Number(Fraction(left)), symbol, Number(Fraction(right)), Fraction(result), equation[0].quote)
        for left, symbol, right, result in steps
    ]


def _givens(steps: Steps) -> list[Fraction]:
    """The problem's own numbers: the operands that are no earlier step's result."""
    givens: list[Fraction] = []
    results: list[Fraction] = []
    for step in steps:
        for operand in step.operands:
            if operand in results:
                results.remove(operand)
            else:
                givens.append(operand)
        results.append(Fraction(step.result))
    return givens


def _reordered(steps: Steps) -> Iterator[Steps]:
    """The other orders of two steps that only add and take away: (a + b) - c is (a - c) + b."""
    if len(steps) != 2 or any(step.operator not in "+-" for step in steps):
        return
    (a, first, b, carried), (left, second, right, result) = steps
    b = b if first == "+" else -b
    sign = 1 if second == "+" else -1
    terms = (a, b, sign * right) if left == carried else (sign * a, sign * b, left)
    for x, y in combinations(terms, 2):
        opening, closing = _sum_step(x, y), _sum_step(x + y, sum(terms) - x - y)
        if opening.result >= 0 and closing.result == result:
            yield opening, closing


def _sum_step(x: int, y: int) -> Step:
    """The step that adds two terms, in positive numbers; a negative result if the negative one is larger."""
    if (x < 0) == (y < 0):
        return Step(abs(x), "+", abs(y), abs(x + y))
    return Step(max(x, y), "-", -min(x, y), x + y)


def _by_parts(steps: Steps) -> Iterator[Steps]:
    """(a + b) * c as a * c and b * c, in both orders."""
    if len(steps) != 2 or steps[0].operator not in "+-" or steps[1].operator != "*":
        return
    (a, symbol, b, carried), (left, _, right, result) = steps
    c = right if left == carried else left
    parts = Step(a, "*", c, a * c), Step(b, "*", c, b * c)
    for first, second in (parts, parts[::-1]):
        yield first, second, Step(a * c, symbol, b * c, result)
