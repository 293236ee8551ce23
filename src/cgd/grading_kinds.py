r"""Answers that are not mathematics: choice letters, truth values, lists; and numbers within a tolerance.

Each kind finds its answer in its own way and compares it in its own way; what it can't decide it leaves to
math-verify.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from cgd.grading_answers import normalise_math, normalise_text, plain_number, stated_number
from cgd.grading_finding import any_answer
from cgd.records import AnswerKind

_TRUE, _FALSE = {"true", "yes", "correct"}, {"false", "no", "incorrect"}
_CHOICE_GOLD = re.compile(r"\(?[A-J]\)?")
_LETTER = re.compile(
    # "(C)", "C", "C.", "**C**: 12", "option C"; a bare letter in a sentence ("A dog") is no choice
    r"(?:the\s+)?(?:correct\s+)?(?:option|choice|answer)?\s*(?:is\s+)?\W{0,3}?(?:\(([a-j])\)|([a-j])(?=$|[).:]|\s+is\s+(?:the\s+)?(?:correct|right|best)\b))(?:\W.*)?",
    re.IGNORECASE | re.DOTALL,
)
_REFUSED_LETTER = re.compile(r".{0,40}?\(?\b[a-j]\b\W{0,4}(?:is|was)\s+(?:not|wrong|incorrect)\b", re.DOTALL)
_LEAD = re.compile(
    # "So the capital is Paris", "Hence (C)", "I choose C": what is said of the thing asked for
    r"(?!.*\b(?:draft|student|critique|not)\b)(?:(?:so|thus|therefore|hence|then)\b,?\s+)?"
    r"(?:(?:it|(?:the|this|that)\s+[^,;:.!?]{1,60}?)\s+(?:is|was|must be)\s+"
    r"|I\s+(?:would\s+|will\s+)?(?:choose|pick|select)\s+)?",
    re.IGNORECASE,
)
_FIRST_WORD = re.compile(r"\W*([a-z]+)(?=\W*$|\s*[,.;:!*]|\s+(?:because|since|as|it|they|the|he|she|this|that|for)\b)")
_PLAIN_WORDS = re.compile(r"(?!pi\b|infinity\b|infty\b)[A-Za-z]{2}[A-Za-z'’-]*(?: [A-Za-z'’-]+)*")
_ONE_LETTER_UNIT = re.compile(r"(?<=[\d}])\s*[ACFHJKLNTVWghlms]$")
"""4.5 J: a unit where numbers are measured, not a factor."""
_QUOTES = "\"'“”‘’"
_DEEPEST = 8  # lists in lists
_OPENING, _CLOSING = "([{", ")]}"
_MATHS = re.compile(r"[\\^_=<>√π]|\d\s*[/*+]\s*\d")


def infer_kind(gold: str) -> AnswerKind:
    """What kind of answer a gold is: a truth value, a choice letter, a list, words, or else mathematics."""
    plain = gold.strip()
    if truth(plain) is not None and plain.lower() not in ("correct", "incorrect"):
        return "boolean"
    if _CHOICE_GOLD.fullmatch(plain):
        return "choice"
    parts = elements(plain) if plain.startswith("[") else None
    # Two numbers in brackets may be an interval, which math-verify knows.
    if parts is not None and (len(parts) != 2 or any(part[:1] in _QUOTES or not part for part in parts)):
        return "list"
    return "text" if _PLAIN_WORDS.fullmatch(plain) else "math"


def answer_of(text: str, kind: AnswerKind) -> str | None:
    """The answer of that kind in whatever way a prediction gives it; None where it gives none.

    Args:
        text: the prediction's own words.
        kind: of the gold.
    """
    if kind in ("math", "tolerance"):
        return any_answer(text, "math")
    found = any_answer(text, "text")
    if found is None or kind == "list":
        return found and _last_list(found)
    shorter = found[_end_of_lead(found) :]
    if kind == "choice":
        return next((said for said in (found, shorter) if choice(said)), None)
    if kind == "boolean":
        return next((said for said in (found, shorter) if truth(said) is not None), None)
    return shorter


def _end_of_lead(text: str) -> int:
    found = _LEAD.match(text)
    return found.end() if found else 0


def _last_list(text: str) -> str:
    """The last text in brackets that match, where words stand before it; else the text as it is."""
    end = max(text.rfind(mark) for mark in _CLOSING) + 1
    depth = 0
    for place in range(end - 1, -1, -1):
        depth += (text[place] in _CLOSING) - (text[place] in _OPENING)
        if depth == 0:
            return text[place:end] if re.search("[A-Za-z]", text[:place]) else text
    return text


def truth(text: str) -> bool | None:
    """The truth value that a text begins with (`Yes, because ...`); None where it begins with none."""
    found = _FIRST_WORD.match(normalise_text(text))
    word = found[1] if found else ""
    return True if word in _TRUE else False if word in _FALSE else None


def choice(text: str) -> str | None:
    """The letter that a text chooses, in lower case: `(C)`, `C.`, `C) 12 apples`, `option C`; None without one."""
    plain = normalise_text(text)
    found = None if _REFUSED_LETTER.match(plain) else _LETTER.fullmatch(plain)
    return found[1] or found[2] if found else None


def elements(text: str) -> list[str] | None:
    """Elements of a list, tuple or set, or of values with commas between; None where brackets don't match.

    Commas inside brackets and quotation marks part nothing.
    """
    inner = text.strip().strip("$").replace(r"\{", "{").replace(r"\}", "}").replace(r"\left", "").replace(r"\right", "")
    if inner[:1] and inner[0] in _OPENING and inner[-1:] == _CLOSING[_OPENING.index(inner[0])]:
        inner = inner[1:-1]
    else:
        inner = re.sub(r",?\s+and\s+", ", ", inner)
    parts, depth, quote, start = [], 0, "", 0
    for place, character in enumerate(inner):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and not inner[start:place].strip():
            quote = character
        elif character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(inner[start:place].strip())
            start = place + 1
        if depth < 0:
            return None
    if depth or quote:
        return None
    last = inner[start:].strip()
    return [*parts, last] if parts or last else []


def same_list(answer: str, gold: str) -> bool | None:
    """Whether two lists are equal, element by element; None where math-verify has to say.

    Order counts, unless the gold is a set in braces.
    """
    ours, theirs = elements(answer), elements(gold)
    if ours is None or theirs is None:
        return None if _MATHS.search(gold) else normalise_text(answer) == normalise_text(gold)
    if gold.strip().startswith(("{", r"\{")):
        ours, theirs = _members(ours), _members(theirs)
    if len(ours) != len(theirs):
        return False
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if _canonical(a) != _canonical(b)]
    if any(_MATHS.search(a) or _MATHS.search(b) for a, b in pairs):
        return None
    return not pairs


def _members(parts: Sequence[str]) -> list[str]:
    """One of each, in an order that is the same for equal sets."""
    return [each for _, each in sorted({_canonical(each): each for each in parts}.items())]


def _canonical(element: str, depth: int = 0) -> str:
    """One spelling of an element: a number as a fraction, a nested list by its elements, anything else as text."""
    if element[:1] and element[0] in _OPENING and depth < _DEEPEST:
        nested = elements(element)
        if nested is not None:
            return f"[{', '.join(_canonical(each, depth + 1) for each in nested)}]"
    number = plain_number(normalise_math(element))
    if number is not None:
        return str(number.value * number.factor)
    return normalise_text(element.strip(_QUOTES))


def within(answer: str, gold: str, tolerance: float) -> bool | None:
    """Whether |answer − gold| ≤ tolerance · |gold|; None where either is no plain number.

    A gold of zero has no share: the tolerance itself is the largest difference then.
    """
    numbers = [stated_number(_ONE_LETTER_UNIT.sub("", normalise_math(text))) for text in (answer, gold)]
    if any(number is None for number in numbers):
        return None
    ours, theirs = (number.value * number.factor for number in numbers if number is not None)
    return abs(ours - theirs) <= Fraction(str(tolerance)) * (abs(theirs) or 1)
