"""Run with: pytest tests/scoring/test_tree.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cgd.scoring.tree import merge, packs

SEQUENCES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=6)


def test_what_begins_alike_is_one_branch() -> None:
    """1 2 3 and 1 2 4 5 share two nodes: five in all instead of seven."""
    tree = merge([[1, 2, 3], [1, 2, 4, 5]])
    assert tree.tokens == [1, 2, 3, 4, 5] and tree.depths == [0, 1, 2, 2, 3]
    assert tree.paths == [[0, 1, 2], [0, 1, 3, 4]]


def test_what_differs_at_once_shares_nothing_even_where_it_ends_alike() -> None:
    assert len(merge([[1, 9, 9], [2, 9, 9]]).tokens) == 6


@given(SEQUENCES)
def test_each_path_reads_its_sequence_and_goes_down_step_by_step(sequences: list[list[int]]) -> None:
    tree = merge(sequences)
    for sequence, path in zip(sequences, tree.paths, strict=True):
        assert [tree.tokens[node] for node in path] == sequence
        assert [tree.depths[node] for node in path] == list(range(len(sequence)))
    assert len(tree.tokens) == len(
        {tuple(sequence[: end + 1]) for sequence in sequences for end in range(len(sequence))}
    )


@given(st.lists(st.integers(1, 20), max_size=20), st.integers(1, 30))
def test_packs_keep_the_order_and_the_limit(sizes: list[int], most: int) -> None:
    groups = list(packs(sizes, most))
    assert [index for group in groups for index in group] == list(range(len(sizes)))
    assert all(len(group) == 1 or sum(sizes[index] for index in group) <= most for group in groups)
