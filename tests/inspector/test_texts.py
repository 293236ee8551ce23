"""Marks and shades. Run with: pytest tests/inspector/test_texts.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgd.inspector.texts import SHADES, compare_lines, shade_tokens


def marked(draft: str, refinement: str) -> tuple[list[str], list[str]]:
    left, right = compare_lines(draft, refinement)
    return [line.text for line in left if line.first_change], [line.text for line in right if line.first_change]


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


@given(st.text("ab \n"), st.text("ab \n"))
def test_lines_are_the_whole_text_and_at_most_one_a_side_is_marked(draft: str, refinement: str) -> None:
    left, right = compare_lines(draft, refinement)
    assert "\n".join(line.text for line in left) == draft
    assert "\n".join(line.text for line in right) == refinement
    assert all(sum(line.first_change for line in side) <= 1 for side in (left, right))


@given(st.text("ab \n"))
def test_a_text_does_not_differ_from_itself(text: str) -> None:
    assert marked(text, text) == ([], [])


def test_shades_grow_with_entropy_from_none_to_the_last() -> None:
    """Bounds 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4 nats: each begins its own shade."""
    tokens = shade_tokens(["a"] * 4, [0.0, 0.1, 0.99, 9.0])
    assert [token.shade for token in tokens] == [0, 1, 3, len(SHADES)]
