"""Where a draft goes wrong, and how uncertain each token of a refinement was."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import islice, zip_longest
from typing import NamedTuple

from cgd.text import normalise

SHADES = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Entropy in nats from which a token has the next darker shade."""
_QUOTED = re.compile(r"""(?<!\w)['"`‘“]([^'"`‘’“”\n]{3,300})['"`’”](?!\w)""")
_MOST_QUOTES = 50
_TIMES = re.compile(r"\\times|(?<=[\d ])x(?=[\d ])")
_SIGNS = str.maketrans("×·÷−–", "**/--")
_UNITS = re.compile(r"(?:\([^()\d\n]*\)|[^\W\d_]+|[$€£]|[^\S\n]+)+")
# Bounded, for a text of a hundred thousand operands is read as well.
_CALCULATION = re.compile(r"(?<![\d.,])\d[\d.,]{0,20}(?: ?[-+*/] ?\d[\d.,]{0,20}){1,8} ?= ?-?\d[\d.,]{0,20}(?<=\d)")


class Line(NamedTuple):
    """A line of a text; `marked` where the reader shall look first."""

    text: str
    marked: bool


class Sides(NamedTuple):
    """Lines of a draft and of its refinement, at most one a side marked, and what the marks mean."""

    draft: list[Line]
    refinement: list[Line]
    meaning: str


class Token(NamedTuple):
    """A token of a refinement: its entropy in nats and its shade, 0 to `len(SHADES)`."""

    text: str
    entropy: float
    shade: int


def mark_first_wrong_step(draft: str, critique: str, refinement: str) -> Sides:
    """Find where a draft goes wrong, by what is surest first.

    In the draft: the first line with something that the critique quotes and the refinement does not keep; else the
    first with a calculation that the refinement does not make. In the refinement: the first line with a calculation
    that the draft does not make. Where there is nothing of these, the lines in which both first differ by more than
    case, white space and empty lines; where one text ends before the other, only the longer one has a mark.
    """
    left, right = draft.split("\n"), refinement.split("\n")
    first_left, first_right = _first_difference(left, right)
    quoted, calculated = _criticised(left, critique, refinement), _first_calculation(left, refinement)
    if quoted is None and calculated is None:
        meaning = "the first line in which draft and refinement differ"
    else:
        first_left = calculated if quoted is None else quoted
        counterpart = _first_calculation(right, draft)
        first_right = first_right if counterpart is None else counterpart
        meaning = (
            "the first calculation of each that the other does not make"
            if quoted is None
            else "the step that the critique quotes, and where the refinement departs from the draft"
        )
    return Sides(_marked(left, first_left), _marked(right, first_right), meaning)


def _criticised(lines: Sequence[str], critique: str, refinement: str) -> int | None:
    kept = normalise(refinement)
    quotes = islice((normalise(found[1]) for found in _QUOTED.finditer(critique)), _MOST_QUOTES)
    wrong = [quote for quote in quotes if quote not in kept]
    calculated = _calculations("\n".join(wrong)) - _calculations(refinement)
    for index, line in enumerate(lines):
        plain = normalise(line)
        if any(quote in plain for quote in wrong) or _calculations(line) & calculated:
            return index
    return None


def _first_calculation(lines: Sequence[str], other: str) -> int | None:
    known = _calculations(other)
    return next((index for index, line in enumerate(lines) if _calculations(line) - known), None)


def _calculations(text: str) -> set[str]:
    """Such as `13+5=18`, without units and spaces and whichever sign it multiplies with."""
    plain = _TIMES.sub("*", text).translate(_SIGNS)
    return {"".join(found.split()) for found in _CALCULATION.findall(_UNITS.sub(" ", plain))}


def _first_difference(left: Sequence[str], right: Sequence[str]) -> tuple[int | None, int | None]:
    pairs = zip_longest(_with_words(left), _with_words(right), fillvalue=(None, ""))
    return next(((one[0], two[0]) for one, two in pairs if one[1] != two[1]), (None, None))


def _with_words(lines: Sequence[str]) -> list[tuple[int | None, str]]:
    return [(index, normalise(line)) for index, line in enumerate(lines) if line.strip()]


def _marked(lines: Sequence[str], first: int | None) -> list[Line]:
    return [Line(line, index == first) for index, line in enumerate(lines)]


def shade_tokens(texts: Sequence[str], entropies: Sequence[float]) -> list[Token]:
    """Tokens with their shades.

    Args:
        texts: of the tokens.
        entropies: of each token's distribution, nats.
    """
    pairs = zip(texts, entropies, strict=True)
    return [Token(text, entropy, bisect_right(SHADES, entropy)) for text, entropy in pairs]
