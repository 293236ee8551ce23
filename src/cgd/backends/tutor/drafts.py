"""The calculations in a draft: "12 apples plus 7 apples is 19" is 12 + 7 = 19.

Drafts are untrusted text of any length: the patterns are possessive or bounded, so that none reads a
stretch of text more than a fixed number of times.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

OPERATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
RANK = {"(": 0, "+": 1, "-": 1, "*": 2, "/": 2}
MAX_DIGITS = 12
"""A longer number is noise."""
MAX_PARTS = 16
"""An expression of more numbers, signs and brackets is noise."""

NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,3}+(?![0-9])|[0-9]++)(?:\.[0-9]++)?"
SIDE = rf"\({{0,3}}+{NUMBER}(?:[ \t)]*+[-+*/][\s(]*+{NUMBER})*+\)*+"
EQUATION = re.compile(rf"{SIDE}(?:\s*+=\s*+(?:-\s?)?{SIDE})*+(?:\s*+=)?")
PART = re.compile(rf"^-\s?{NUMBER}|{NUMBER}|[-+*/()]")
ANY_DIGIT = re.compile("[0-9]")
REWRITES = [
    (re.compile(pattern, re.IGNORECASE), plain)
    for pattern, plain in (
        (r"\*\*", " "),
        (r"\\times|\\cdot|[×∗·]|\b(?:x|times|multiplied by)\b|(?<=[0-9])x(?=[0-9])", " * "),
        (r"\\div|÷|\bdivided by\b", " / "),
        (r"\bplus\b", " + "),
        (r"[−–]|\bminus\b", " - "),
        (r"\b(?:is )?equal(?:s| to)\b|\bis(?= [0-9$])", " = "),
        (r"[$\\{}\[\]_`]", " "),
        (r"\((?=[^()]*[^\W\d_])[^()=+*/-]*\)", " "),  # asides such as (total cookies)
        (r"(?<=[0-9])(?:[ \t]++[^\W\d_]++){1,3}+(?=[ \t]*+[-+*/=)])", " "),  # units before a sign
        (r"(?<=[-+*/=])(?:[ \t]++[^\W\d_]++){1,3}+(?=[ \t]*+[0-9])", " "),  # words after a sign
    )
]


class Step(NamedTuple):
    """One calculation of a worked solution."""

    left: int
    operator: str
    right: int
    result: int

    @property
    def operands(self) -> tuple[Fraction, Fraction]:
        """Left and right."""
        return Fraction(self.left), Fraction(self.right)

    @property
    def expression(self) -> str:
        """The step without its result."""
        return f"{self.left} {self.operator} {self.right}"

    @property
    def line(self) -> str:
        """The step as a line of a worked solution."""
        return f"{self.expression} = {self.result}"


Steps = tuple[Step, ...]


class Number(NamedTuple):
    """A number of the draft; without a text where it only follows from others."""

    value: Fraction
    text: str | None = None


class Calculation(NamedTuple):
    """One operation of the draft, with the result that the draft gives it (None where it gives none)."""

    left: Number
    operator: str
    right: Number
    result: Fraction | None
    quote: str
    """The equation it stands in, without units."""

    @property
    def operands(self) -> tuple[Fraction, Fraction]:
        """The two values in the draft's order."""
        return self.left.value, self.right.value

    @property
    def value(self) -> Fraction:
        """The true result."""
        value: Fraction = OPERATIONS[self.operator](*self.operands)
        return value

    def sets_up(self, step: Step) -> bool:
        """Whether it is the step's calculation, whatever its result; + and * commute."""
        if self.operator != step.operator:
            return False
        return self.operands == step.operands or (self.operator in "+*" and self.operands == step.operands[::-1])

    def is_right(self, step: Step) -> bool:
        """Whether it is the step, result and all."""
        return self.result == step.result and self.sets_up(step)


def find_equations(draft: str) -> Iterator[list[Calculation]]:
    """The draft's equations in order, each as its calculations in the order of evaluation.

    The last calculation carries the stated result; those before it, "12 + 7" in "12 + 7 - 5 = 14",
    carry their true one. An expression without equals sign counts where no number follows: it was cut.
    """
    for pattern, plain in REWRITES:
        draft = pattern.sub(plain, draft)
    for equation in EQUATION.finditer(draft):
        sides = [PART.findall(side.strip()) for side in equation.group().split("=")]
        if any(len(side) > MAX_PARTS or any(len(part) > MAX_DIGITS for part in side) for side in sides):
            continue
        if len(sides[-1]) > 1 and not ANY_DIGIT.search(draft, equation.end()):
            sides.append([])
        for side, after in pairwise(sides):
            yield _calculations(side, after)


def to_fraction(number: str) -> Fraction:
    """The value of a number as drafts write it: "1,200", "7.50", "- 3"."""
    return Fraction(number.replace(",", "").replace(" ", ""))


def _calculations(side: list[str], after: list[str]) -> list[Calculation]:
    """The operations of an expression; `after` is what stands behind its equals sign (empty where cut)."""
    try:
        operations, value = _evaluate(side)
        # "7 + 8 + 2 = 15 + 2 = 17" goes on with an equal expression, "7 + 8 = 15 + 2 = 17" with the next step.
        equal = len(after) > 1 and _evaluate(after)[1] == value
    except ZeroDivisionError:
        return []
    stated = after if equal else [part for part in after if part not in "()"][:1]
    quote = " ".join([*side, "=", *stated]).replace("( ", "(").replace(" )", ")")
    result = value if equal else to_fraction(stated[0]) if stated else None
    calculations = [Calculation(*operation, None, quote) for operation in operations]
    return [c._replace(result=result if c is calculations[-1] else c.value) for c in calculations]


def _evaluate(parts: list[str]) -> tuple[list[tuple[Number, str, Number]], Fraction]:
    """The operations of an expression in the order of their evaluation, and its value.

    Brackets without a partner are overlooked.
    """
    numbers: list[Number] = []
    waiting: list[str] = []
    operations: list[tuple[Number, str, Number]] = []

    def settle(rank: int) -> None:
        """Carry out what waits and binds at least as strongly."""
        while waiting and RANK[waiting[-1]] >= rank:
            symbol, right, left = waiting.pop(), numbers.pop(), numbers.pop()
            operations.append((left, symbol, right))
            numbers.append(Number(OPERATIONS[symbol](left.value, right.value)))

    for part in parts:
        if part == "(":
            waiting.append(part)
        elif part == ")":
            settle(1)
            if waiting:
                waiting.pop()
        elif part in OPERATIONS:
            settle(RANK[part])
            waiting.append(part)
        else:
            numbers.append(Number(to_fraction(part), part))
    waiting = [symbol for symbol in waiting if symbol != "("]
    settle(1)
    return operations, numbers[0].value
