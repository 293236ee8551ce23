r"""Finding the answer in a prediction, and bringing answers into one form.

A prediction may quote other texts: lines that begin with `>` are not its own words, nor is "the draft's answer is 7"
its answer. Every pattern here takes time linear in the text, whatever a model wrote.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import Literal, NamedTuple

from cgd.records import AnswerFormat

LONGEST_ANSWER = 1000
"""Characters of an answer that can still be compared (the longest gold of seven maths benchmarks has 210)."""
LONGEST_PREDICTION = 200_000
"""Characters at the end of a prediction that are read at all."""
TAIL = 5000
"""Characters at the end of a prediction in which an unmarked answer is looked for."""

_BARE_WORDS = 3
_QUOTED_LINE = re.compile(r"^[ \t]*>.*$", re.MULTILINE)
_ANSWER_LINE = re.compile(r"\**answer\**\s*:(.+)", re.IGNORECASE)
_STATEMENT = re.compile(
    r"(?:^[ \t*#-]*(?:the[ \t]+)?|\b(?:final|correct)[ \t]+)answer[ \t*]*[:=]|\b(?:answer|option|choice)[ \t]+is\b",
    re.IGNORECASE | re.MULTILINE,
)
_SOMEONE_ELSES = re.compile(
    r"(?:['’]s?|\b(?:draft|student|initial|original|previous|first|old|wrong|incorrect|given|proposed|claimed"
    r"|his|her|their|your))\s+(?:own\s+|final\s+)?$",
    re.IGNORECASE,
)
_REJECTED = re.compile(r"(?:not|wrong|incorrect)\b|.{0,20}\b(?:which|that) is (?:wrong|incorrect)\b", re.IGNORECASE)
_CLAIM_END = re.compile(r"\n|[.;](?=\s|$)|,?\s(?:because|since|which|so)\b", re.IGNORECASE)
_BRACE = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{|\\.|[{}]", re.DOTALL)
_MATHS = re.compile(
    r"\$\$(.{1,500}?)\$\$|\\\[(.{1,500}?)\\\]|\\\((.{1,500}?)\\\)|\$(?=\S)([^$\n]{1,500}?)(?<=\S)\$(?!\d)", re.DOTALL
)
_SOME_NUMBER = re.compile(
    r"(?:(?<![\w)\]}])[-−])?[$€£]?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+|/\d+)?(?:\s?\\?%)?"
)
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")

_WRAPPED = re.compile(r"\\(?:text|textbf|textit|textrm|mbox|mathrm|mathbf|operatorname)\s*\{([^{}]*)\}")
_LEADING_WORDS = re.compile(r"^\\(?:text|textbf|mbox|mathrm)\s*\{[^{}\d]*\}\s*(?=[-\d.$])")
_DELIMITER = re.compile(r"\\?\$|(?<!\\)\\[()\[\]]|[€£¥₹]|\\displaystyle\b")
_GAP_IN_NUMBER = re.compile(r"(?<=\d)\s*(?:\\[,!]|~)\s*(?=\d)")
_SPACE = re.compile(r"(?<!\\)\\[,;: ]|~|\s+")
_NEGATIVE_SPACE = re.compile(r"(?<!\\)\\!\s*")
_POWER_OF_TEN = re.compile(
    r"(?<=[\d.])\s*(?:\\times|\\cdot|\*|(?<=\s)x(?=\s))\s*10\s*\^\s*(?:\{\s*([-+]?\d{1,3})\s*\}|([-+]?\d{1,3})(?!\d))"
)
_E_NOTATION = re.compile(r"(?<![\w\\.])(\d+\.?\d*|\.\d+)[eE]([-+]?\d{1,3})(?![\w.])")
_MIXED_FRACTION = re.compile(r"(?<![\w.}])(\d+)\s+(\d+)/(\d+)(?![\w.])")
_POINT_BEFORE_SLASH = re.compile(r"(?<=\d)\.(?=\s*/)")
_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_APPROXIMATELY = re.compile(r"\\approx\b")
_BARE_PI = re.compile(r"(?<![\\A-Za-z])pi(?![A-Za-z])")
_UNICODE = str.maketrans(
    {
        **dict.fromkeys("−–‒－", "-"),
        **dict.fromkeys("\u00a0\u2007\u2009\u202f", r"\,"),
        **{"×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/", "π": r"\pi ", "√": r"\sqrt ", "∞": r"\infty "},
        **{"≤": r"\le ", "≥": r"\ge ", "∪": r"\cup ", "°": r"^\circ ", "≈": r"\approx "},
        **{"½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "％": "%", "．": ".", "，": ","},
    }
)

_NUMBER = re.compile(
    r"([-+]?)\s*(\d{1,3}(?:[, ]\d{3})+(?!\d)|\d{0,300})(\.\d{0,300})?(?: \\times 10\^\{([-+]?\d{1,4})\})?"
    r"(?:\s*\^\s*\{?\s*\\circ\s*\}?)?(.*)"
)
_SQUARED = r"(?:\s*\^?\s*\{?[23]\}?)?"
_UNITS = r"(?:[A-Za-z]{%s,}\.?" + _SQUARED + r"(?:\s*/\s*|[\s-]+|$)){1,6}"
_BARE_UNITS = re.compile(
    r"\s+" + _UNITS % 2 + r"|\s*(?:k?m/(?:s|h|hr|min)|[cmk]m|[mk]g|ml|ft|in|lbs?|hrs?|mins?|secs?|mph)" + _SQUARED,
    re.IGNORECASE,
)
_WRAPPED_UNITS = re.compile(r"\s*" + _UNITS % 1)
_FUNCTIONS = {"pi", "sqrt", "log", "ln", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "exp", "inf", "infinity"}
_NOT_UNITS = _FUNCTIONS | {"or", "and", "squared", "cubed", "half", "factorial"}
_FACTORS = {
    **{"\\%": Fraction(1, 100), "percent": Fraction(1, 100), "hundred": Fraction(100), "thousand": Fraction(10**3)},
    **{"million": Fraction(10**6), "billion": Fraction(10**9), "trillion": Fraction(10**12)},
}


class Number(NamedTuple):
    """A plain number as written, and what its suffix (percent, million) multiplies it by."""

    value: Fraction
    factor: Fraction

    def equals(self, other: Number) -> bool:
        """Exact equality; one side may leave its suffix out: 50% = 0.5, and 12.5% = 12.5 as some golds have it."""
        without_suffix = self.factor != other.factor and self.value == other.value
        return without_suffix or self.value * self.factor == other.value * other.factor


def own_words(prediction: str) -> str:
    """The prediction without the lines that it quotes."""
    return _QUOTED_LINE.sub("", prediction)


def asked_answer(text: str, answer_format: AnswerFormat) -> str | None:
    r"""The answer in the format that the prompt asks for; None where the format was not followed.

    `answer_line`: the last non-empty line is `Answer: <answer>`. `boxed`: the last `\boxed{<answer>}`. `any`: either of
    them, or a text of one line that is nothing but an answer.
    """
    if answer_format == "any":
        return asked_answer(text, "answer_line") or asked_answer(text, "boxed") or _bare_answer(text)
    if answer_format == "boxed":
        box = _last_box(text)
        return box[1] if box else None
    line = _ANSWER_LINE.fullmatch(text.rstrip().rpartition("\n")[2].strip())
    return (line and tidy(line[1])) or None


def _bare_answer(text: str) -> str | None:
    """A text of one line that states an answer and says nothing about it."""
    line = tidy(text)
    if not line or "\n" in line or len(line) > LONGEST_ANSWER or _STATEMENT.search(line):
        return None
    return line if _without_prose(line) == line or len(line.split()) <= _BARE_WORDS else None


def any_answer(text: str, kind: Literal["math", "text"]) -> str | None:
    """The answer in whatever way the prediction gives it; None where it gives none.

    The last box, answer line or "the answer is" counts; without any, the last formula or number
    (`math`) or the last line (`text`).
    """
    box, statement = _last_box(text), _last_statement(text)
    if box and statement and box[0] <= statement[0] <= box[0] + len(box[1]):
        statement = None  # words in the box
    marked = [found for found in (box, statement) if found]
    if marked:
        answer = max(marked)[1]
        return _without_prose(answer) if kind == "math" else answer
    tail = text.rstrip()[-TAIL:]
    if kind == "text":
        return tidy(tail.rpartition("\n")[2]) or None
    formulas = [found for found in _MATHS.finditer(tail) if len(_inside(found)) > 1 or _inside(found).isdigit()]
    last = max([*formulas[-1:], *list(_SOME_NUMBER.finditer(tail))[-1:]], key=re.Match.end, default=None)
    if last is None:
        return None
    if last.re is _SOME_NUMBER:
        return last[0]
    formula = _inside(last)
    is_chain = formula.count("=") > 1 and "," not in formula  # a = b = c states c
    return formula.rpartition("=")[2] if is_chain else formula


def tidy(text: str) -> str:
    """The text without blanks, bold marks and the full stop around it."""
    return text.strip().lstrip("*` ").rstrip("*`. ")


def _last_box(text: str) -> tuple[int, str] | None:
    best: tuple[int, str] | None = None
    opened: list[tuple[int, bool]] = []
    for token in _BRACE.finditer(text):
        if token[0] == "}" and opened:
            start, is_box = opened.pop()
            if is_box and (best is None or start > best[0]):
                best = start, text[start : token.start()]
        elif token[0] == "{" or len(token[0]) > 2:
            opened.append((token.end(), len(token[0]) > 2))
    return best if best and best[1].strip() else None


def _last_statement(text: str) -> tuple[int, str] | None:
    for found in reversed(list(_STATEMENT.finditer(text))):
        claim = text[found.end() : found.end() + 2 * LONGEST_ANSWER].lstrip(" \t\n*:")
        before = text[max(0, found.start() - 40) : found.start()]
        formula = _MATHS.match(claim)
        answer = _inside(formula) if formula else tidy(_CLAIM_END.split(claim, maxsplit=1)[0])
        if answer and not _SOMEONE_ELSES.search(before) and not _REJECTED.match(claim):
            return found.start(), answer
    return None


def _inside(formula: re.Match[str]) -> str:
    return next(group for group in formula.groups() if group is not None).strip(" \n\t.,;")


def _without_prose(answer: str) -> str:
    formulas = list(_MATHS.finditer(answer))
    if len(formulas) == 1:
        return _inside(formulas[0])
    words = set(_WORD.findall(answer.lower()))
    is_prose = "\\" not in answer and words - _FUNCTIONS and not words & {"and", "or"}
    if formulas or not is_prose or plain_number(normalise_math(answer)):
        return answer
    numbers = _SOME_NUMBER.findall(answer)
    return numbers[-1] if numbers else answer


def normalise_text(text: str) -> str:
    """Case, blanks, markup and the parentheses of a choice letter do not matter to a text answer."""
    box = _last_box(text)
    plain = _DELIMITER.sub("", _WRAPPED.sub(r"\1", box[1] if box else text))
    plain = " ".join(tidy(plain).strip("\"'“”‘’").casefold().split())
    letter = re.fullmatch(r"\(?([a-z])\)", plain)
    return letter[1] if letter else plain


def normalise_math(text: str) -> str:
    """One notation for what math-verify reads wrongly or not at all; without delimiters, on one line."""
    box = _last_box(text)
    text = box[1] if box else text
    text = _LEADING_WORDS.sub("", text)
    if not text.isascii():
        text = _SUPERSCRIPT.sub(lambda found: f"^{{{unicodedata.normalize('NFKC', found[0])}}}", text)
        text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text.translate(_UNICODE))
    text = _GAP_IN_NUMBER.sub("", _DELIMITER.sub("", text)).replace("{,}", ",").replace(r"\%", "%")
    text = tidy(_SPACE.sub(" ", _NEGATIVE_SPACE.sub("", text))).replace("%", r"\%")
    text = _POWER_OF_TEN.sub(lambda found: rf" \times 10^{{{found[1] or found[2]}}}", text)
    text = _E_NOTATION.sub(r"\1 \\times 10^{\2}", text)
    text = _BARE_PI.sub(r"\\pi ", _APPROXIMATELY.sub("=", text))
    text = _MIXED_FRACTION.sub(r"\1\\frac{\2}{\3}", _POINT_BEFORE_SLASH.sub("", text))
    if not re.search(r"[(\[{]", text):
        text = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)
    return text


def plain_number(text: str) -> Number | None:
    """The number that a normalised answer is, units aside; None where it is anything more."""
    wrapped = _WRAPPED.fullmatch(text)
    text = wrapped[1].strip() if wrapped else text
    text = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    found = _NUMBER.fullmatch(text)
    if found is None or not (found[2] or (found[3] or "").strip(".")):
        return None
    sign, digits, decimals, exponent, suffix = found.groups(default="")
    factor = _suffix_factor(suffix)
    if factor is None:
        return None
    digits = digits.replace(",", "").replace(" ", "") or "0"
    return Number(Fraction(f"{sign}{digits}{decimals.rstrip('.')}e{exponent or 0}"), factor)


def _suffix_factor(suffix: str) -> Fraction | None:
    words = _WRAPPED.sub(r" \1 ", suffix)
    first, _, more = words.strip().partition(" ")
    factor = _FACTORS.get(first.lower(), Fraction(1))
    units = words if factor == 1 else more and f" {more}"
    pattern = _BARE_UNITS if words == suffix else _WRAPPED_UNITS
    if units.strip() and not pattern.fullmatch(units.rstrip()):
        return None
    return None if _NOT_UNITS & set(re.findall("[a-z]+", units.lower())) else factor
