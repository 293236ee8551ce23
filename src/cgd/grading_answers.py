r"""One form for answers that are written in many: notations, units, plain numbers, words.

Every pattern here takes time linear in the text, whatever a model wrote.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

LONGEST_ANSWER = 1000
"""Characters of an answer that can still be compared (the longest gold of seven maths benchmarks has 210)."""

_BRACE = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{|\\.|[{}]", re.DOTALL)
_WRAPPED = re.compile(r"\\(?:text|textbf|textit|textrm|mbox|mathrm|mathbf|operatorname)\s*\{([^{}]*)\}")
_LEADING_WORDS = re.compile(r"^\\(?:text|textbf|mbox|mathrm)\s*\{[^{}\d]*\}\s*(?=[-\d.$])")
_LEADING_WORDS_INSIDE = re.compile(r"^(\\(?:text|textbf|mbox|mathrm)\s*\{)(?:(?!not\b)[A-Za-z']+[ ,:]+)+(?=[-\d])")
_DELIMITER = re.compile(r"\\?\$|(?<!\\)\\[()\[\]]|[€£¥₹]|\\(?:displaystyle|textstyle|[Ll]arge|LARGE|[Hh]uge|bf)\b")
_COLOUR = re.compile(r"\\(?:text)?color\s*\{\w*\}")
_GAP_IN_NUMBER = re.compile(r"(?<=\d)\s*(?:,\\!|\\[,!]|~)\s*(?=\d)")
_SPACE = re.compile(r"(?<!\\)\\[,;: ]|~|\s+")
_NEGATIVE_SPACE = re.compile(r"(?<!\\)\\!\s*")
_POWER_OF_TEN = re.compile(
    r"(?<=[\d.])\s*(?:\\times|\\cdot|[*x])\s*10\s*\^\s*(?:\{\s*([-+]?\d{1,4})\s*\}|([-+]?\d{1,4})(?!\d))"
)
_E_NOTATION = re.compile(r"(?<![\w\\.])(\d+\.?\d*|\.\d+)[eE]([-+]?\d{1,9})(?![\w.])")
_REPEATING = re.compile(r"(?<![\d.])(\d{0,20})\.(\d{0,20})\\(?:overline|bar)\s*\{?(\d{1,20})\}?")
_MIXED_FRACTION = re.compile(r"(?<![\w.}])(\d+)\s+(\d+)/(\d+)(?![\w.])")
_BARE_FRACTION = re.compile(r"(\\[dt]?frac)\s*(\\pi|\w)\s*(\\pi|\w)")
_POINT_BEFORE_SLASH = re.compile(r"(?<=\d)\.(?=\s*/)")
_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])")
_VULGAR_FRACTION = re.compile("[¼-¾⅐-⅞]")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_APPROXIMATELY = re.compile(r"\\approx\b")
_BARE_PI = re.compile(r"(?<![\\A-Za-z])pi(?![A-Za-z])")
_UNICODE = str.maketrans(
    {
        **dict.fromkeys("−–‒－", "-"),
        **dict.fromkeys("\u00a0\u2007\u2009\u202f", r"\,"),
        **{"×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/", "π": r"\pi ", "√": r"\sqrt ", "∞": r"\infty "},
        **{"≤": r"\le ", "≥": r"\ge ", "∪": r"\cup ", "°": r"^\circ ", "≈": r"\approx "},
        **{"％": "%", "．": ".", "，": ",", "٫": ".", "’": "'", "‘": "'", "Ω": r"\Omega ", "µ": r"\mu ", "μ": r"\mu "},
    }
)

_NUMBER = re.compile(
    r"([-+]?)\s*(\d{1,3}(?:[, ]\d{3})+(?!\d)|\d{0,300})(\.\d{0,300})?(?: \\times 10\^\{([-+]?\d{1,4})\})?"
    r"(?:\s*\^\s*\{?\s*\\circ\s*\}?(?:\s*[CF](?![A-Za-z]))?)?(.*)"
)
_EQUATION = re.compile(r"([^,;<>=!]+)=\s*[A-Za-z]\s*|[^,;<>=!]*=([^=]+)")
_POWER = r"(?:\s*\^\s*\{?-?[1234]\}?|[23])?"
_UNIT = (
    r"(?:\\mu\s*(?:m|s|g|mol|[ACFHJLVW])(?![A-Za-z])|\\(?:Omega|AA)(?![A-Za-z])|m(?=\s*/)|[A-Za-z]{%s,}\.?)" + _POWER
)
_UNITS = r"(?:" + _UNIT + r"(?:\s*/\s*(?:[A-Za-z]" + _POWER + r"$)?|\s*\\cdot\s*|[\s-]+|$)){1,6}"
_BARE_UNITS = re.compile(
    r"\s+" + _UNITS % 2 + r"|\s*(?:k?m/(?:s|h|hr|min)|[cmk]m|[mk]g|ml|ft|in|lbs?|hrs?|mins?|secs?|mph)" + _POWER,
    re.IGNORECASE,
)
_WRAPPED_UNITS = re.compile(r"\s*" + _UNITS % 1)
_FRACTION_OF_UNITS = re.compile(r"\\[dt]?frac\s*\{([A-Za-z\s]{1,20})\}\s*\{([A-Za-z\s]{1,20}(?:\^\d)?)\}")
FUNCTIONS = {"pi", "sqrt", "log", "ln", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "exp", "inf", "infinity"}
_NOT_UNITS = FUNCTIONS | {"or", "and", "squared", "cubed", "half", "factorial"}
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


def tidy(text: str) -> str:
    """The text without blanks, bold marks and the full stop around it."""
    return text.strip().lstrip("*` ").rstrip("*`.。 ")


def boxes(text: str) -> list[tuple[int, int]]:
    r"""Where the contents of each `\boxed{}`, `\fbox{}` and `\framebox{}` begin and end, the last to begin last."""
    found: list[tuple[int, int]] = []
    opened: list[tuple[int, bool]] = []
    for token in _BRACE.finditer(text):
        if token[0] == "}" and opened:
            start, is_box = opened.pop()
            if is_box:
                found.append((start, token.start()))
        elif token[0] == "{" or len(token[0]) > 2:
            opened.append((token.end(), len(token[0]) > 2))
    return sorted(found)


def _unboxed(text: str) -> str:
    start, end = next(iter(boxes(text)[-1:]), (0, len(text)))
    return text[start:end]


def normalise_text(text: str) -> str:
    """Case, blanks, markup and the parentheses of a choice letter do not matter to a text answer."""
    plain = unicodedata.normalize("NFKC", _DELIMITER.sub("", _WRAPPED.sub(r"\1", _unboxed(text)))).replace("’", "'")
    plain = " ".join(tidy(plain).strip("\"'“”‘").casefold().split())
    letter = re.fullmatch(r"\(?([a-z])\)", plain)
    return letter[1] if letter else plain


def normalise_math(text: str) -> str:
    """One notation for what math-verify reads wrongly or not at all; without delimiters, on one line."""
    text = _LEADING_WORDS_INSIDE.sub(r"\1", _LEADING_WORDS.sub("", _COLOUR.sub("", _unboxed(text))))
    if not text.isascii():
        text = _SUPERSCRIPT.sub(lambda found: f"^{{{unicodedata.normalize('NFKC', found[0])}}}", text)
        text = _VULGAR_FRACTION.sub(_vulgar, text)
        text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text.translate(_UNICODE))
    text = (
        _GAP_IN_NUMBER.sub("", _DELIMITER.sub("", text))
        .replace("{,}", ",")
        .replace(r"\%", "%")
        .replace(r"\varnothing", r"\emptyset")
    )
    text = tidy(_SPACE.sub(" ", _NEGATIVE_SPACE.sub("", text))).replace("%", r"\%")
    text = _POWER_OF_TEN.sub(lambda found: rf" \times 10^{{{found[1] or found[2]}}}", text)
    text = _E_NOTATION.sub(r"\1 \\times 10^{\2}", text)
    text = _BARE_PI.sub(r"\\pi ", _APPROXIMATELY.sub("=", text))
    text = _BARE_FRACTION.sub(r"\1{\2}{\3}", text)
    text = _REPEATING.sub(_repeating, text)
    text = _MIXED_FRACTION.sub(r"\1\\frac{\2}{\3}", _POINT_BEFORE_SLASH.sub("", text))
    if not re.search(r"[(\[{]", text):
        text = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)
    return text


def _vulgar(found: re.Match[str]) -> str:
    above, _, below = unicodedata.normalize("NFKC", found[0]).partition("\N{FRACTION SLASH}")
    return rf"\frac{{{above}}}{{{below}}}"


def _repeating(found: re.Match[str]) -> str:
    """0.1 with 6 repeated is (16 - 1) / 90."""
    whole, fixed, repeated = found.groups()
    above = int(f"{whole}{fixed}{repeated}") - int(f"0{whole}{fixed}")
    return rf"\frac{{{above}}}{{{10 ** len(fixed) * (10 ** len(repeated) - 1)}}}"


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


def stated_number(text: str) -> Number | None:
    """The plain number that a normalised answer is or, as an equation with one letter, states: `x = 5`, `5 = n`."""
    equation = _EQUATION.fullmatch(text)
    return plain_number((equation[1] or equation[2]).strip() if equation else text)


def _suffix_factor(suffix: str) -> Fraction | None:
    words = _WRAPPED.sub(r" \1 ", suffix)
    if words != suffix:
        words = _FRACTION_OF_UNITS.sub(r" \1/\2", words)
    first, _, more = words.strip().partition(" ")
    factor = _FACTORS.get(first.lower(), Fraction(1))
    units = words if factor == 1 else more and f" {more}"
    pattern = _BARE_UNITS if words == suffix else _WRAPPED_UNITS
    if units.strip() and not pattern.fullmatch(units.rstrip()):
        return None
    return None if _NOT_UNITS & set(re.findall("[a-z]+", units.lower())) else factor
