"""Rows of an optimizer step → micro-batches of whole rows laid end to end, nothing padded.

N = labelled positions of a micro-batch, T = its tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from cgd.training.completion_only import IGNORED, EncodedRow


class Packing(NamedTuple):
    """How many rows go through the model at once."""

    tokens: int | None = None
    """Most tokens of a micro-batch; a longer row goes alone."""
    rows: int | None = None
    """Most rows of a micro-batch."""


def divide(rows: Sequence[EncodedRow], packing: Packing, processes: int = 1) -> list[list[list[EncodedRow]]]:
    """Divide the rows of one optimizer step over processes and their micro-batches, about equal in tokens.

    Every process gets the same number of micro-batches, as processes wait for each other in each; one that would be
    empty holds a row that weighs nothing.

    Returns:
        By process, its micro-batches.
    """
    for passes in range(1, len(rows) + 1):
        bins = _balanced(rows, passes * processes, packing.rows)
        if bins and all(len(each) <= 1 or _tokens(rows, each) <= (packing.tokens or math.inf) for each in bins):
            break
    idle = [rows[0]._replace(weight=0.0)]
    batches = [[rows[index] for index in sorted(each)] or idle for each in bins]
    return [batches[process::processes] for process in range(processes)]


def pack(rows: Sequence[EncodedRow]) -> dict[str, Any]:
    """One micro-batch as the model takes it.

    Returns:
        `input_ids` and `position_ids` (1, T), the latter beginning anew in each row; the rows' lengths as packed and
        as flash attention take them; `kept` (N), the positions whose next token carries loss, and that token and
        its row's weight in `targets` and `weights` (N).
    """
    import torch

    lengths = [len(row.input_ids) for row in rows]
    starts = [sum(lengths[:index]) for index in range(len(rows) + 1)]
    kept, targets, weights = [], [], []
    for start, row in zip(starts, rows, strict=False):
        # The first token of a row has none before it that could predict it.
        for position, label in enumerate(row.labels[1:]):
            if label != IGNORED:
                kept.append(start + position)
                targets.append(label)
                weights.append(row.weight)
    borders = torch.tensor(starts, dtype=torch.int32)
    return {
        "input_ids": torch.tensor([[token for row in rows for token in row.input_ids]]),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "lengths": lengths,
        "cu_seq_lens_q": borders,
        "cu_seq_lens_k": borders,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
        "kept": torch.tensor(kept),
        "targets": torch.tensor(targets),
        "weights": torch.tensor(weights, dtype=torch.float32),
    }


def predicted_tokens(row: EncodedRow) -> int:
    """Tokens of a row that carry loss: labelled, and with a token before them."""
    return sum(label != IGNORED for label in row.labels[1:])


def _balanced(rows: Sequence[EncodedRow], bins: int, most_rows: int | None) -> list[list[int]]:
    """Indices of the rows in so many bins: the longest first, each into the bin that has the fewest tokens so far.

    Empty where the bins can't hold the rows.
    """
    if len(rows) > bins * (most_rows or len(rows)):
        return []
    filled: list[list[int]] = [[] for _ in range(bins)]
    for index in sorted(range(len(rows)), key=lambda index: -len(rows[index].input_ids)):
        open_bins = [each for each in filled if len(each) < (most_rows or len(rows))]
        min(open_bins, key=lambda each: _tokens(rows, each)).append(index)
    return filled


def _tokens(rows: Sequence[EncodedRow], indices: Sequence[int]) -> int:
    return sum(len(rows[index].input_ids) for index in indices)
