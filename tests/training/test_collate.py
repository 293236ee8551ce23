"""Run with: pytest tests/training/test_collate.py."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.training.collate import Packing, divide, pack, predicted_tokens
from cgd.training.completion_only import IGNORED, EncodedRow

LENGTHS = st.lists(st.integers(2, 30), min_size=1, max_size=12)


def rows(lengths: list[int]) -> list[EncodedRow]:
    """Rows that can be told apart; the last token of each carries loss."""
    return [
        EncodedRow([100 * (place + 1) + t for t in range(n)], [IGNORED] * (n - 1) + [100 * (place + 1) + n - 1])
        for place, n in enumerate(lengths)
    ]


@settings(deadline=None)
@given(
    lengths=LENGTHS,
    packing=st.one_of(
        st.integers(1, 60).map(lambda tokens: Packing(tokens=tokens)), st.integers(1, 5).map(lambda n: Packing(rows=n))
    ),
    processes=st.integers(1, 3),
)
def test_every_row_of_a_step_is_in_one_micro_batch_and_processes_make_as_many_passes(
    lengths: list[int], packing: Packing, processes: int
) -> None:
    step = rows(lengths)
    shares = divide(step, packing, processes)
    assert len(shares) == processes and len({len(share) for share in shares}) == 1
    batches = [batch for share in shares for batch in share]
    assert sorted(row for batch in batches for row in batch if row.weight) == sorted(step)
    for batch in batches:
        assert len(batch) == 1 or sum(len(row.input_ids) for row in batch) <= (packing.tokens or 1000)
        assert len(batch) <= (packing.rows or 1000)


def test_micro_batches_are_about_equal_in_tokens() -> None:
    """30 tokens, at most 17 a pass: 8 and 7 open the passes, 6 joins 7, 5 joins 8, 4 joins one of the two 13s."""
    (share,) = divide(rows([4, 8, 5, 7, 6]), Packing(tokens=17))
    assert sorted(sorted(len(row.input_ids) for row in batch) for batch in share) == [[4, 5, 8], [6, 7]]


def test_a_row_longer_than_a_pass_goes_alone() -> None:
    (share,) = divide(rows([30, 2, 3]), Packing(tokens=10))
    assert sorted([len(row.input_ids) for row in batch] for batch in share) == [[2, 3], [30]]


def test_a_process_without_a_row_gets_one_that_weighs_nothing() -> None:
    (row,) = rows([5])
    assert divide([row], Packing(tokens=10), processes=2) == [[[row]], [[row._replace(weight=0.0)]]]


def test_packed_rows_begin_anew_and_the_label_of_a_row_is_never_predicted_from_another() -> None:
    """Rows of 2 and 3 tokens, all labelled: 1 predicts 2, 3 predicts 4, 4 predicts 5; 3 has nothing before it."""
    batch = pack([EncodedRow([1, 2], [1, 2]), EncodedRow([3, 4, 5], [3, 4, 5], weight=0.5)])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5]]
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1, 2]]
    assert batch["lengths"] == [2, 3] and batch["cu_seq_lens_q"].tolist() == [0, 2, 5]
    assert batch["kept"].tolist() == [0, 2, 3]
    assert batch["targets"].tolist() == [2, 4, 5]
    assert batch["weights"].tolist() == [1.0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("labels", "tokens"), [([IGNORED, 2, 3], 2), ([1, 2, IGNORED], 1), ([1, IGNORED, IGNORED], 0), ([IGNORED] * 3, 0)]
)
def test_a_label_counts_where_a_token_stands_before_it(labels: list[int], tokens: int) -> None:
    assert predicted_tokens(EncodedRow([1, 2, 3], labels)) == tokens
