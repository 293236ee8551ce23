r"""Finding the answer in a prediction.

A prediction may quote other texts: lines that begin with `>` are not its own words, nor is "the draft's answer is 7"
its answer, nor a box that it calls wrong. Every pattern here takes time linear in the text, whatever a model wrote.
"""

from __future__ import annotations

import re
from typing import Literal

from cgd.grading_answers import FUNCTIONS, LONGEST_ANSWER, boxes, normalise_math, plain_number, tidy
from cgd.records import AnswerFormat

LONGEST_PREDICTION = 200_000
"""Characters at the end of a prediction that are read at all."""
TAIL = 5000
"""Characters at the end of a prediction in which an unmarked answer is looked for."""

_BARE_WORDS = 3
_INVISIBLE = re.compile("[\u200b\u2060\ufeff]")
_NOT_OWN_LINE = re.compile(r"^[ \t]*(?:>.*|```\w*[ \t]*)$", re.MULTILINE)
_SAYS = (
    r"(?:claims|claimed|says|said|gives|gave|writes|wrote|states|stated|concludes|concluded|answers|answered|has|had|got"
    r"|boxes|boxed)"
)
_QUOTED_ANSWER = re.compile(
    r"(?<=[a-z:,]\s)[\"“](?=[^\"“”\n]{0,300}(?:\\boxed|answer\**\s*(?:is|:)))[^\"“”\n]{0,400}[\"”]", re.IGNORECASE
)
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
_SOMEONE_ELSES_BOX = re.compile(
    r"(?:\b(?:draft|student)['’]s\s+(?:final\s+)?(?:answer|result|solution)"
    r"|(?:^|[.;:,!?\n]\s*|\b(?:that|while|but|as)\s+)(?:the\s+|this\s+|my\s+)?(?:draft|critique)\s+" + _SAYS + r")\b"
    r"(?:(?!\b(?:but|instead|should|must|wrong|incorrect|corrected)\b)[^.;,\n]){0,60}$",
    re.IGNORECASE,
)
_REJECTED = re.compile(r"(?:not|wrong|incorrect)\b|.{0,20}\b(?:which|that) is (?:wrong|incorrect)\b", re.IGNORECASE)
_REJECTED_BOX = re.compile(
    r"\}[$\s]*,?\s*(?:(?:which|that|this|it)\s+)?(?:is|was)\s+(?:wrong|incorrect)\b", re.IGNORECASE
)
_REFUSED = re.compile(
    r"\b(?:not|instead of|rather than|reject(?:s|ed|ing)?)\s+(?:the\s+)?"
    r"(?:(?:answer|value|result)\s+(?:of\s+)?)?[$\s]*$",
    re.IGNORECASE,
)
"""What is said right before an answer that is not given."""
_STUDENTS_BOX = re.compile(r"\bstudent\s+" + _SAYS + r"\s+(?:that\s+)?[$\s]*$", re.IGNORECASE)
_CONTRADICTED = re.compile(r"\}[$\s]*[.,;]?\s*(?:however|but|actually|this|that)\b", re.IGNORECASE)
"""A student of whom a problem tells may have a box, too: only what follows it tells them apart."""
_CLAIM_END = re.compile(r"\n|[.;](?=[\s\"”]|$)|,?\s(?:because|since|which|so)\b", re.IGNORECASE)
_MATHS = re.compile(
    r"\$\$(.{1,500}?)\$\$|\\\[(.{1,500}?)\\\]|\\\((.{1,500}?)\\\)|\$(?=\S)([^$\n]{1,500}?)(?<=\S)\$(?!\d)", re.DOTALL
)
_TIMES_TEN = r"\s?(?:[x×*·]|\\times|\\cdot)\s?10(?:\^\{?[-−]?\d+\}?|[⁺⁻⁰¹²³⁴-⁹]+)"
_SOME_NUMBER = re.compile(
    r"(?:(?<![\w)\]}^])[-−])?[$€£]?(?<![\d^_])(?<!\^[{-])(?<!_\{)(?:\d+(?:[,\u2009\u202f\u00a0]\d{3})*(?:\.\d+)?|\.\d+)"
    r"(?:[eE][-+]?\d+|/\d+|(?::\d+)+(?:\s?[AaPp]\.?[Mm]\b\.?)?|[\^_]\{?[-−]?\d+\}?|" + _TIMES_TEN + r")?(?:\s?\\?%)?"
)
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_NO_PROSE = re.compile(r"\\(?:text|textbf|mbox|mathrm|begin|end)\s*\{[^{}]*\}(?:\{[clr|]+\})?")
_OPERATIONS = {"plus", "minus", "times", "over", "divided", "squared", "cubed", "half", "factorial"}
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)")
_FORMULA_START = re.compile(r"[\w\\({[$+\-−–.|√∞]")
_ASSIGNED = re.compile(r"(?<![A-Za-z])[A-Za-z]\s*=")
_MORE_MATHS = re.compile(r"\s*(?:,|and\b|or\b)[\sand]*[$\\]")


def own_words(prediction: str) -> str:
    """The prediction without the lines and the answers that it quotes."""
    return _QUOTED_ANSWER.sub("", _NOT_OWN_LINE.sub("", _INVISIBLE.sub("", prediction)))


def asked_answer(text: str, answer_format: AnswerFormat) -> str | None:
    r"""The answer in the format that the prompt asks for; None where the format was not followed.

    `answer_line`: the last non-empty line is `Answer: <answer>`. `boxed`: the last `\boxed{<answer>}`. `any`: either of
    them, or a text of one line that is nothing but an answer.
    """
    if answer_format == "any":
        return asked_answer(text, "answer_line") or asked_answer(text, "boxed") or _bare_answer(text)
    if answer_format == "boxed":
        box = _own_box(text)
        return box[1] if box else None
    line = _ANSWER_LINE.fullmatch(text.rstrip().rpartition("\n")[2].strip())
    return (line and tidy(line[1])) or None


def _bare_answer(text: str) -> str | None:
    """A text of one line that states an answer and says nothing about it."""
    line = tidy(text)
    if not line or "\n" in line or len(line) > LONGEST_ANSWER or _STATEMENT.search(line) or _BOX.search(line):
        return None
    words_alone = "\\" not in line and _without_prose(line) == line
    return line if words_alone or _is_formula(line) or len(line.split()) <= _BARE_WORDS else None


def _is_formula(line: str) -> bool:
    """Whether a line is one formula, number or word: there is no other answer in it, for 7! is not 7."""
    is_chain = line.count("=") > max(1, len(_ASSIGNED.findall(line)))  # 3 * 5 = 15, 15 + 3 = 18
    if len(line) > LONGEST_ANSWER or is_chain or not _FORMULA_START.match(line) or _BOX.search(line):
        return False
    words = set(_WORD.findall(_NO_PROSE.sub("", line).lower())) - FUNCTIONS - _OPERATIONS - {"and", "or", "base"}
    return not words or line.isalnum() or plain_number(normalise_math(line)) is not None


def any_answer(text: str, kind: Literal["math", "text"]) -> str | None:
    """The answer in whatever way the prediction gives it; None where it gives none.

    The last box, answer line or "the answer is" counts; without any, a text that is one formula, else the last formula
    or number (`math`), or the last line (`text`).
    """
    box, statement = _own_box(text), _last_statement(text)
    if box and statement and box[0] <= statement[0] <= box[0] + len(box[1]):
        statement = None  # words in the box
    marked = [found for found in (box, statement) if found]
    if marked:
        answer = max(marked)[1]
        return _without_prose(answer) if kind == "math" else answer
    if kind == "text":
        return tidy(text.rstrip()[-TAIL:].rpartition("\n")[2]) or None
    line = tidy(text)
    return line if "\n" not in line and line and _is_formula(line) else _last_formula(text.rstrip()[-TAIL:])


def _last_formula(text: str) -> str | None:
    """The formula or number that ends last."""
    ends = [_last_given(_MATHS, text), _last_given(_SOME_NUMBER, text)]
    last = max((found for found in ends if found), key=re.Match.end, default=None)
    if last is None:
        return None
    if last.re is _SOME_NUMBER:
        return last[0]
    formula = _inside(last)
    is_chain = formula.count("=") > 1 and "," not in formula  # a = b = c states c
    return formula.rpartition("=")[2] if is_chain else formula


def _last_given(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The last match that is not refused, and not a letter in dollar signs."""
    for found in reversed(list(pattern.finditer(text))):
        is_letter = pattern is _MATHS and len(_inside(found)) == 1 and not _inside(found).isdigit()
        if not is_letter and not _REFUSED.search(text[max(0, found.start() - 40) : found.start()]):
            return found
    return None


def _own_box(text: str) -> tuple[int, str] | None:
    """The last box that is neither somebody else's nor called wrong: where its content begins, and the content."""
    for start, end in reversed(boxes(text)):
        before, after = text[max(0, start - 100) : start].rpartition("\\")[0], text[end : end + 40]
        refused = _REFUSED.search(before) or _REJECTED_BOX.match(after)
        somebody_elses = _SOMEONE_ELSES_BOX.search(before) or (
            _STUDENTS_BOX.search(before) and _CONTRADICTED.match(after)
        )
        if not refused and not somebody_elses and text[start:end].strip():
            return start, text[start:end]
    return None


def _last_statement(text: str) -> tuple[int, str] | None:
    for found in reversed(list(_STATEMENT.finditer(text))):
        claim = text[found.end() : found.end() + 2 * LONGEST_ANSWER].lstrip(" \t\n*:")
        before = text[max(0, found.start() - 40) : found.start()]
        formula = _MATHS.match(claim)
        alone = formula and not _MORE_MATHS.match(claim, formula.end())
        answer = _inside(formula) if formula and alone else tidy(_CLAIM_END.split(claim, maxsplit=1)[0])
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
    combined = words & {"and", "or"} or (answer[:1].isdigit() and words & _OPERATIONS)
    is_prose = "\\" not in answer and words - FUNCTIONS and not combined
    if formulas or not is_prose or plain_number(normalise_math(answer)):
        return answer
    numbers = _SOME_NUMBER.findall(answer)
    return numbers[-1] if numbers else answer
