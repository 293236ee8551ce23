"""Token sequences that begin alike, as one tree: what they share is computed once.

(x, y') begins with the tokens of x, and (x, y', c) with those of (x, y'); instructions and target follow. Laid out as a
tree, a token sees its ancestors alone, which are the tokens before it in its own sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Tree(NamedTuple):
    """Nodes in an order in which each comes after its parent."""

    tokens: list[int]
    depths: list[int]
    """Position of each node in its sequences, from 0."""
    paths: list[list[int]]
    """For each sequence, the nodes of its tokens."""


def merge(sequences: Sequence[Sequence[int]]) -> Tree:
    """Lay sequences of token ids out as a tree; equal beginnings become one branch."""
    tokens: list[int] = []
    depths: list[int] = []
    children: dict[tuple[int, int], int] = {}
    paths = []
    for sequence in sequences:
        path: list[int] = []
        for depth, token in enumerate(sequence):
            edge = (path[-1] if path else -1, token)
            if edge not in children:
                children[edge] = len(tokens)
                tokens.append(token)
                depths.append(depth)
            path.append(children[edge])
        paths.append(path)
    return Tree(tokens, depths, paths)


def packs(sizes: Sequence[int], most: int) -> Iterator[list[int]]:
    """Indices in order, in groups of at most `most` tokens together; a larger one goes alone.

    Args:
        sizes: tokens of each tree.
        most: tokens of a group.
    """
    group: list[int] = []
    held = 0
    for index, size in enumerate(sizes):
        if group and held + size > most:
            yield group
            group, held = [], 0
        group.append(index)
        held += size
    if group:
        yield group
