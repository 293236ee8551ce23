"""Marks and shades. Run with: pytest tests/inspector/test_texts.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgd.inspector.texts import SHADES, mark_first_wrong_step, shade_tokens


def marked(draft: str, refinement: str, critique: str = "") -> tuple[list[str], list[str]]:
    sides = mark_first_wrong_step(draft, critique, refinement)
    return [line.text for line in sides.draft if line.marked], [line.text for line in sides.refinement if line.marked]


@pytest.mark.parametrize(
    ("draft", "refinement", "expected"),
    [
        ("a\nb\nc", "a\nx\nc", (["b"], ["x"])),
        ("a\n\nb", "A \nb", ([], [])),
        ("a\n\nb", "a\nc", (["b"], ["c"])),
        ("a", "a\nb", ([], ["b"])),
        ("a\nb", "a", (["b"], [])),
        ("", "b", ([], ["b"])),
        ("same", "same", ([], [])),
    ],
)
def test_the_first_line_that_differs_is_marked(
    draft: str, refinement: str, expected: tuple[list[str], list[str]]
) -> None:
    """Case, white space and empty lines are no difference; a text that has ended has no line to mark."""
    assert marked(draft, refinement) == expected


def test_the_step_that_the_critique_quotes_is_marked_and_not_one_that_is_only_worded_otherwise() -> None:
    """The first line says what the refinement says in other words; the critique quotes the second one."""
    draft = "1. First, add: 13 + 5 = 18 apples.\n2. Then 18  + 7 = 25 apples.\n3. So 25."
    critique = "'13 + 5 = 18' is fine, but in the second step '18 + 7 = 25' has the wrong operation; it isn't 25."
    refinement = "13 + 5 = 18\n18 - 7 = 11\nAnswer: 11"
    assert marked(draft, refinement, critique) == (["2. Then 18  + 7 = 25 apples."], ["18 - 7 = 11"])


@pytest.mark.parametrize("times", ["×", "*", "·", r" \times ", " x ", " bags (big ones) * "])
def test_without_a_quote_the_first_calculation_that_the_refinement_does_not_make_is_marked(times: str) -> None:
    draft = f"Six bags: 3{times}6 = 18\nLost two: 18 - 2 = 15\nAnswer: 15"
    assert marked(draft, "3 * 6 = 18\n18 - 2 = 16\nAnswer: 16") == (["Lost two: 18 - 2 = 15"], ["18 - 2 = 16"])


def test_a_quoted_calculation_is_found_although_the_draft_writes_it_with_units() -> None:
    draft = "A plan.\nWe have 6 (Tomatoes) + 9 tomatoes = 15 tomatoes."
    assert marked(draft, "6 + 6 = 12", "In the first step, '6 + 9 = 15' uses 9.") == (
        [draft.split("\n")[1]],
        ["6 + 6 = 12"],
    )


def test_a_quote_that_the_refinement_keeps_does_not_mark_a_line() -> None:
    assert marked("a plan\nb", "a plan\nc", "You begin with 'a plan'.") == (["b"], ["c"])


@given(st.text("ab '\n1+="), st.text("ab 1+=\n"), st.text("ab '\n1+="))
def test_lines_are_the_whole_text_and_at_most_one_a_side_is_marked(draft: str, refinement: str, critique: str) -> None:
    sides = mark_first_wrong_step(draft, critique, refinement)
    assert "\n".join(line.text for line in sides.draft) == draft
    assert "\n".join(line.text for line in sides.refinement) == refinement
    assert all(sum(line.marked for line in side) <= 1 for side in (sides.draft, sides.refinement))


@given(st.text("ab \n"))
def test_a_text_does_not_differ_from_itself(text: str) -> None:
    assert marked(text, text) == ([], [])


def test_shades_grow_with_entropy_from_none_to_the_last() -> None:
    """Bounds 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4 nats: each begins its own shade."""
    tokens = shade_tokens(["a"] * 4, [0.0, 0.1, 0.99, 9.0])
    assert [token.shade for token in tokens] == [0, 1, 3, len(SHADES)]


def test_a_long_text_of_nothing_but_operands_is_read_at_once() -> None:
    """Every operand may begin a calculation: without a bound on its length these are a thousand million steps."""
    assert marked("1+" * 50_000, "x " * 50_000, "'" + "a" * 100_000) == (["1+" * 50_000], ["x " * 50_000])
