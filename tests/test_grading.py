from __future__ import annotations

import json
import os
import random
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd import grading
from cgd.grading import GRADER, GradingItem, grade_many
from cgd.grading_answers import LONGEST_ANSWER, normalise_math, plain_number
from cgd.grading_pool import Comparison, compare_many
from cgd.records import Grade, GradingRule

LINE = GradingRule("math", "answer_line")
BOX = GradingRule("math", "boxed")
TEXT = GradingRule("text", "answer_line")
TEXT_BOX = GradingRule("text", "boxed")
DATA = Path(os.environ.get("CGD_DATA", Path(__file__).parents[2] / "shared" / "data"))


class Case(NamedTuple):
    prediction: str
    gold: str
    rule: GradingRule
    strict: bool
    flexible: bool


CASES = [
    # the asked format, and what may stand around it
    Case("9 + 9 = 18\nAnswer: 18", "18", LINE, True, True),
    Case("Answer: 19", "18", LINE, False, False),
    Case("**Answer: 18**", "18", LINE, True, True),
    Case("**Answer:** 18.", "18", LINE, True, True),
    Case("Answer: **18**\n\n", "18", LINE, True, True),
    Case("Answer: $18$.", "18", LINE, True, True),
    Case("answer: 18", "18", LINE, True, True),
    Case(r"Answer: \boxed{18}", "18", LINE, True, True),
    Case("Answer: 18\nI hope this helps!", "18", LINE, False, True),
    Case("Answer: 7\nWait.\nAnswer: 18", "18", LINE, True, True),
    Case("Final answer: 18", "18", LINE, False, True),
    Case("Answer:", "18", LINE, False, False),
    Case("Answer:\n\\[ 18 \\]", "18", LINE, False, True),
    Case(r"So \boxed{3} first, then \boxed{\frac{1}{2}}.", "0.5", BOX, True, True),
    Case(r"\boxed{\{1, 2\}}", r"\{2, 1\}", BOX, True, True),
    Case(r"\fbox{18}", "18", BOX, True, True),
    Case(r"\framebox{18}", "18", BOX, True, True),
    Case(r"\boxed{}", "18", BOX, False, False),
    Case(r"\boxed{18", "18", BOX, False, True),
    Case("The answer is 18.", "18", BOX, False, True),
    # any recoverable answer
    Case("The answer is 8 because 3 + 5 = 8 and not 9.", "8", LINE, False, True),
    Case("Answer: The total is 18 apples.", "18", LINE, False, True),
    Case("She pays $18 and $20, so in all $38", "38", LINE, False, True),
    Case(r"Hence \(x = \frac{1}{2}\).", "0.5", LINE, False, True),
    Case(r"So it costs $2 \cdot 3 + 3 = 6 + 3 = 9$, as was said.", "9", LINE, False, True),
    Case("#### 1,250", "1250", LINE, False, True),
    Case("He has 5 - 3 = -2 left", "-2", LINE, False, True),
    Case("Answer: 18 or 19", "18", LINE, False, False),
    Case("Answer: 18 or 19", "19", LINE, False, False),
    Case("I don't know.", "18", LINE, False, False),
    Case("", "18", LINE, False, False),
    # quoted and rejected answers
    Case("The draft says \\boxed{7}, which is wrong. The answer is 8.", "8", BOX, False, True),
    Case("> \\boxed{7}\nThat is wrong: it is\n\\boxed{8}", "7", BOX, False, False),
    Case("\\boxed{8}\n> \\boxed{7}", "8", BOX, True, True),
    Case("Answer: 8\n> Answer: 7", "8", LINE, True, True),
    Case("The answer is 8. The student's final answer is 7.", "8", LINE, False, True),
    Case("The answer is not 7. I get 8", "8", LINE, False, True),
    # plain numbers
    Case("Answer: 18.00", "18", LINE, True, True),
    Case("Answer: .5", "0.5", LINE, True, True),
    Case("Answer: 0.50001", "0.5", LINE, False, False),
    Case("Answer: 1,250.50", "1250.5", LINE, True, True),
    Case("Answer: 70 000", "70000", LINE, True, True),
    Case(r"\boxed{1\,250}", "1250", BOX, True, True),
    Case(r"\boxed{1\,250}", "251", BOX, False, False),
    Case(r"\boxed{11,\! 112}", "11112", BOX, True, True),
    Case(r"\boxed{1{,}250}", "1250", BOX, True, True),
    Case("Answer: \N{MINUS SIGN}5", "-5", LINE, True, True),
    Case("Answer: \N{FULLWIDTH DIGIT ONE}\N{FULLWIDTH DIGIT EIGHT}", "18", LINE, True, True),
    Case("Answer: \N{EURO SIGN}18", "18", LINE, True, True),
    Case("Answer: $18 million", "18000000", LINE, True, True),
    Case("Answer: 18 red apples", "18", LINE, True, True),
    Case("Answer: 15cm", "15", LINE, True, True),
    Case(r"\boxed{18 \text{ apples}}", "18", BOX, True, True),
    Case(r"\boxed{72 \text{ cm}^2}", r"72 \mbox{ centimetres}^2", BOX, True, True),
    Case("Answer: 35\N{DEGREE SIGN}", r"35^\circ", LINE, True, True),
    Case("Answer: 12.5%", "12.5", LINE, True, True),
    Case(r"Answer: 50\%", "0.5", LINE, True, True),
    Case("Answer: 0.5%", r"50\%", LINE, False, False),
    Case("Answer: 5x", "5", LINE, False, False),
    Case("Answer: 5pi", "5", LINE, False, False),
    # powers of ten, which math-verify reads as a product with e
    Case("Answer: 4.5e33", "4.5e33", LINE, True, True),
    Case(r"\boxed{4.5 \times 10^{33} \mathrm{~J}}", "4.5e33", BOX, True, True),
    Case(r"\boxed{4.5 \times 10^{32}}", "4.5e33", BOX, False, False),
    Case("Answer: 1.6 \N{MULTIPLICATION SIGN} 10^-19", "1.6e-19", LINE, True, True),
    Case("Answer: 2 \N{MULTIPLICATION SIGN} 10\N{SUPERSCRIPT MINUS}\N{SUPERSCRIPT FIVE}", "2e-5", LINE, True, True),
    Case(r"\boxed{\frac{5}{10^{30}}}", "6.6e-34", BOX, False, False),
    # formulas
    Case("Answer: 1/3", "0.333333", LINE, True, True),
    Case("Answer: 1/3", "0.33", LINE, False, False),
    Case("Answer: 2 1/2", "2.5", LINE, True, True),
    Case("Answer: x = 5", "5", LINE, True, True),
    Case("Answer: 5 + 3 = 8", "8", LINE, True, True),
    Case("Answer: 5", "x=5", LINE, True, True),
    Case("Answer: y = 5", "x=5", LINE, False, False),
    Case(r"Answer: \approx 4.49", "4.49", LINE, True, True),
    Case("Answer: (3, pi/2)", r"\left( 3, \frac{\pi}{2} \right)", LINE, True, True),
    Case("Answer: (1, 2)", "(2, 1)", LINE, False, False),
    Case(r"\boxed{x^2+2x+1}", "(x+1)^2", BOX, True, True),
    Case(r"\boxed{x^2+2x+2}", "(x+1)^2", BOX, False, False),
    Case(r"\boxed{x = 1 \text{ or } x = -2}", "1,-2", BOX, True, True),
    Case(r"\boxed{-2 \le x \le 7}", "[-2,7]", BOX, True, True),
    Case(r"\boxed{6 - 5i}", "6 + 5i", BOX, False, False),
    Case(r"\boxed{\begin{pmatrix} 1 \\ 1/2 \end{pmatrix}}", r"\begin{pmatrix} 1 \\ 0.5 \end{pmatrix}", BOX, True, True),
    # what math-verify would judge wrongly
    Case(r"\boxed{1045_6}", "1045_6", BOX, True, True),
    Case(r"\boxed{1045_{6}}", "1045_6", BOX, True, True),
    Case(r"\boxed{1045}", "1045_6", BOX, True, True),
    Case(r"\boxed{1045_7}", "1045_6", BOX, False, False),
    Case("Answer: 6:30", "0.2", LINE, False, False),
    Case("Answer: 6:30 p.m.", "6:30 PM", LINE, True, True),
    Case("Answer: listen", "silent", LINE, False, False),
    Case(r"\boxed{maria}", r"\text{Maria}", BOX, True, True),
    Case(r"\boxed{C}", r"\text{(C)}", BOX, True, True),
    Case(r"\boxed{\textbf{(D)}}", r"\text{(C)}", BOX, False, False),
    Case("Answer: True", "False", LINE, False, False),
    # text
    Case("Answer: (C)", "C", TEXT, True, True),
    Case("Answer: C) 12 apples", "C", TEXT, True, True),
    Case("The correct option is (C).", "C", TEXT, False, True),
    Case("Answer: the  Red house.", "The red house", TEXT, True, True),
    Case("Answer: red house", "The red house", TEXT, False, False),
    Case("Let me think.\nParis", "paris", TEXT, False, True),
    Case(r"\boxed{\text{True}}", "true", TEXT_BOX, True, True),
    Case(r"\boxed{False}", "true", TEXT_BOX, False, False),
]

HOSTILE = [
    "9^{9^{9^9}}",
    "(10^9)!",
    r"\binom{10^9}{10^5}",
    "(x+1)^{1000}",
    "(" * 400 + "1" + ")" * 400,
    r"\prod_{k=1}^{1000000} k",
]

LONG = {
    "brackets": "[" * 100_000,
    "open braces": "{" * 100_000,
    "nested boxes": r"\boxed{" * 12_000 + "}" * 12_000,
    "open boxes": r"\boxed{" * 14_000,
    "answer marks": "answer is " * 10_000,
    "others' answers": "the draft's answer is 7. " * 4_000,
    "digits": "Answer: " + "9" * 100_000,
    "open formulas": r"\[" * 50_000,
    "blank lines": "\n" * 100_000,
    "superscripts": "Answer: " + "\N{SUPERSCRIPT TWO}" * 100_000,
}


def rows(name: str, sample: int) -> list[str]:
    path = DATA / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"no benchmark data at {path}; set CGD_DATA")
    answers = [str(json.loads(line)["answer"]) for line in path.read_text(encoding="utf-8").splitlines()]
    return random.Random(0).sample(answers, min(sample, len(answers)))


@pytest.fixture(scope="module")
def grades() -> list[Grade]:
    return grade_many([GradingItem(case.prediction, case.gold, case.rule) for case in CASES])


@pytest.mark.parametrize("index", range(len(CASES)), ids=[f"{case.prediction!r}-{case.gold!r}" for case in CASES])
def test_a_prediction_gets_the_verdicts_a_person_gives_it(grades: list[Grade], index: int) -> None:
    case, grade = CASES[index], grades[index]
    assert (grade.strict, grade.flexible) == (case.strict, case.flexible), grade


def test_format_says_whether_the_asked_form_was_used_right_or_wrong() -> None:
    predictions = ["Answer: 18", "Answer: 19", "It is 18", r"\boxed{18}"]
    lines = grade_many([GradingItem(prediction, "18", LINE) for prediction in predictions])
    boxes = grade_many([GradingItem(prediction, "18", BOX) for prediction in predictions])
    assert [grade.format for grade in lines] == [True, True, False, False]
    assert [grade.format for grade in boxes] == [False, False, False, True]


def test_every_verdict_has_its_reason_and_the_answer_it_is_about() -> None:
    predictions = ["Answer: 18 eggs", "Answer: 19", "no idea", None, "Answer: " + "1+" * 600 + "1", "Answer:\n18"]
    assert grade_many([GradingItem(prediction, "18", LINE) for prediction in predictions]) == [
        Grade(True, True, True, "18 eggs", "equal"),
        Grade(False, False, True, "19", "different"),
        Grade(False, False, False, None, "no_answer"),
        Grade(None, None, False, None, "no_prediction"),
        Grade(False, False, True, ("1+" * 600)[:LONGEST_ANSWER], "too_long"),
        Grade(False, True, False, "18", "equal"),
    ]


def test_a_gold_that_cannot_be_read_leaves_the_item_unscored() -> None:
    unreadable = r"\frac{1}{2 \mho("
    wrong, right = grade_many([GradingItem("Answer: 5", unreadable, LINE), GradingItem("Answer: 5", "5", LINE)])
    assert (wrong.strict, wrong.flexible, wrong.reason) == (None, None, "error:GoldNotParsed")
    assert right.strict is True


def test_hostile_answers_are_unscored_and_later_items_are_graded() -> None:
    hostile = [GradingItem(f"Answer: {answer}", "5", LINE) for answer in HOSTILE]
    good = [GradingItem(f"Answer: {n} + 1/2", f"{n}.5", LINE) for n in range(6)]
    grades = grade_many([*hostile, *good], limit_s=1.0)
    assert [(grade.strict, grade.flexible, grade.reason) for grade in grades[: len(hostile)]] == [
        (None, None, "timeout")
    ] * len(hostile)
    assert all(grade.strict for grade in grades[len(hostile) :])


@pytest.mark.parametrize("kind", LONG)
def test_a_hundred_kilobytes_of_rubbish_are_graded_at_once(kind: str) -> None:
    started = time.process_time()
    grades = grade_many([GradingItem(LONG[kind], "18", rule) for rule in (LINE, BOX, TEXT)])
    assert not any(grade.strict or grade.flexible for grade in grades)
    assert time.process_time() - started < 5


def test_plain_numbers_and_words_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    answers = ["18", "$1,250.00", "12.5%", "x = 18", "eighteen", "x", r"18 \text{ eggs}"]
    assert len(grade_many([GradingItem(f"Answer: {answer}", "18", LINE) for answer in answers])) == 7


def test_the_grader_names_its_versions() -> None:
    assert GRADER.startswith("math-verify/") and " cgd/" in GRADER


FRAGMENTS = st.sampled_from(
    ["Answer: ", "answer is ", "\n", "> ", "**", r"\boxed{", "}", "{", "$", r"\[", r"\]", "18", "-1/2", ".5", "x+1"]
    + ["%", " eggs", " or ", "1,250", "C", "(C)", "4e3", "12_8", "6:30", ".", " which is wrong", "not ", r"\text{"]
)
VERDICTS = st.sampled_from(["equal", "different", "timeout", "error:SIGKILL"])


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAGMENTS, max_size=12).map("".join), FRAGMENTS, st.data())
def test_what_is_strictly_right_is_flexibly_right(prediction: str, gold: str, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grading, "compare_many", lambda pairs, *_: [data.draw(VERDICTS) for _ in pairs])
        grades = grade_many([GradingItem(prediction, gold, rule) for rule in (LINE, BOX, TEXT, TEXT_BOX)])
    for grade in grades:
        assert not grade.strict or (grade.flexible and grade.format)
        assert grade.strict is not None or grade.flexible is not False
        assert grade.format or grade.strict is False


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_text_breaks_the_reading(text: str) -> None:
    plain_number(normalise_math(text))
    assert grade_many([GradingItem(text, "C", rule) for rule in (TEXT, TEXT_BOX)])


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9))
def test_a_number_equals_itself_however_it_is_written(value: object) -> None:
    spellings = [f"{value:,}", f"${value}000$", rf"{value:,} \text{{ km}}", f"{value:.12e}", f"{value} m/s"]
    grades = grade_many([GradingItem(f"Answer: {text}", str(value), LINE) for text in spellings])
    assert all(grade.strict for grade in grades), list(zip(spellings, grades, strict=True))


def test_math_verify_accepts_golds_against_themselves_and_not_against_others() -> None:
    golds = [gold for gold in map(normalise_math, rows("math500", 150)) if plain_number(gold) is None]
    assert set(compare_many([Comparison(gold, gold) for gold in golds], workers=2, limit_s=5.0)) == {"equal"}
    others = [Comparison(answer, gold) for answer, gold in zip(golds, golds[1:], strict=False) if answer != gold]
    assert "equal" not in compare_many(others, workers=2, limit_s=5.0)
