"""Run with: pytest tests/backends/test_tutor_drafts.py."""

from __future__ import annotations

import pytest

from cgd.backends.tutor.drafts import Calculation, Step, find_equations


def in_words(calculation: Calculation) -> str:
    return f"{calculation.left.value} {calculation.operator} {calculation.right.value} = {calculation.result}"


@pytest.mark.parametrize(
    "draft",
    [
        "12 + 7 = 19",
        "12+7=19",
        "12 apples + 7 apples = 19 apples",
        "12 red apples plus 7 green apples equals 19 apples",
        "$12 + $7 = $19.",
        "**12 + 7 = 19**",
        r"\( 12 + 7 = 19 \)",
        r"\[12 \text{ apples} + 7 \text{ apples} = \boxed{19}\]",
        "1. First, 12 (all apples) + 7 (bought) = 19 apples.",
        "1) 12.0 + 7 = a total of 19",
        "Total = 12 + 7 = 19",
        "(12 + 7) = 19",
        "12 + 7\n= 19",
        "So 12 plus 7 is 19 now",
    ],
)
def test_a_calculation_is_read_however_it_is_written(draft: str) -> None:
    (equation,) = find_equations(draft)
    assert [c.is_right(Step(12, "+", 7, 19)) for c in equation] == [True]
    assert equation[0].quote.replace(".0", "") in ("12 + 7 = 19", "(12 + 7) = 19")


@pytest.mark.parametrize(
    "draft", ["4 x 6 = 24", "4x6 = 24", "4 × 6 = 24", r"4 \times 6 = 24", "4 bags * 6 = 24", "4 times 6 is 24"]
)
def test_times_has_many_signs(draft: str) -> None:
    assert [c.is_right(Step(4, "*", 6, 24)) for equation in find_equations(draft) for c in equation] == [True]


def test_thousands_decimals_negative_and_missing_results_are_read() -> None:
    equations = [*find_equations("1,200 + 7.50 = 1207.5\n3 - 10 = -7\n4 / 8 =")]
    assert [in_words(c) for (c,) in equations] == ["1200 + 15/2 = 2415/2", "3 - 10 = -7", "4 / 8 = None"]
    assert [c.quote for (c,) in equations] == ["1,200 + 7.50 = 1207.5", "3 - 10 = -7", "4 / 8 ="]


def test_a_line_of_several_operations_is_read_in_the_order_of_evaluation() -> None:
    """30 - 4 * 6 = 6: 4 * 6 = 24, then 30 - 24 = 6; with brackets (30 - 4) * 6 it is 26, then 156."""
    (plain,), (bracketed,) = ([*find_equations(text)] for text in ("30 - 4 * 6 = 6", "(30 - 4) * 6 = 6"))
    assert [in_words(c) for c in plain] == ["4 * 6 = 24", "30 - 24 = 6"]
    assert [in_words(c) for c in bracketed] == ["30 - 4 = 26", "26 * 6 = 6"]
    assert bracketed[-1].value == 156


@pytest.mark.parametrize(
    "draft", ["", "5-7 days, 3 apples.", "1 / 0 = 3", "9" * 5000 + " + 1 = 2", "x = 3", "= 4", "1+" * 99]
)
def test_what_is_no_calculation_is_left_alone(draft: str) -> None:
    assert [c for equation in find_equations(draft) for c in equation] == []
