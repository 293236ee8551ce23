"""Where a draft and its refinement part, and how uncertain each token of a refinement was."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from cgd.text import normalise

SHADES = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Entropy in nats from which a token has the next darker shade."""


class Line(NamedTuple):
    """A line of a text; `first_change` where it is the first that the other text does not have."""

    text: str
    first_change: bool


class Token(NamedTuple):
    """A token of a refinement: its entropy in nats and its shade, 0 to `len(SHADES)`."""

    text: str
    entropy: float
    shade: int


def compare_lines(draft: str, refinement: str) -> tuple[list[Line], list[Line]]:
    """Lines of both texts, marked where they first differ by more than case, white space and empty lines.

    Where one text ends before the other, only the longer one has a mark.
    """
    left, right = draft.split("\n"), refinement.split("\n")
    pairs = zip_longest(_with_words(left), _with_words(right), fillvalue=(None, ""))
    first_left, first_right = next(((one[0], two[0]) for one, two in pairs if one[1] != two[1]), (None, None))
    return _marked(left, first_left), _marked(right, first_right)


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
