"""Run with: pytest tests/training/test_order.py."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.config import ContextDropoutConfig, TrainingConfig
from cgd.training.completion_only import EncodedRow
from cgd.training.order import drop_contexts, match_tokens, optimizer_steps, training_order


def config(**changes: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(changes)


def rows(*lengths: int) -> list[EncodedRow]:
    return [EncodedRow([1] * length, [1] * length) for length in lengths]


@settings(deadline=None)
@given(count=st.integers(1, 40), epochs=st.integers(1, 3), seed=st.integers(0, 5))
def test_every_epoch_is_a_permutation_of_the_rows(count: int, epochs: int, seed: int) -> None:
    order = training_order(count, config(epochs=epochs), seed)
    assert len(order) == epochs * count
    for start in range(0, len(order), count):
        assert sorted(order[start : start + count]) == list(range(count))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"epochs": 0.5}, 5), ({"epochs": 0.01}, 1), ({"epochs": 1.25}, 13), ({"steps": 7, "batch_size": 4}, 28)],
)
def test_steps_or_epochs_say_how_many_rows_are_taken(changes: dict[str, Any], expected: int) -> None:
    """Of 10 rows: 5; at least 1; 12.5 rounds up to 13; 7 steps of 4."""
    order = training_order(10, config(**changes), 0)
    assert len(order) == expected
    assert max(Counter(order).values()) - min(Counter(order).get(i, 0) for i in range(10)) <= 1


def test_seeds_and_epochs_are_shuffled_differently_and_always_the_same() -> None:
    order = training_order(20, config(epochs=2), 0)
    assert order == training_order(20, config(epochs=2), 0)
    assert order[:20] != order[20:]
    assert order != training_order(20, config(epochs=2), 1)


@pytest.mark.parametrize(("anneal", "first", "second"), [(None, 0.4, 0.4), ("rising", 0.2, 0.6), ("falling", 0.6, 0.2)])
def test_the_share_that_loses_its_context_is_constant_or_changes_linearly(
    anneal: Any, first: float, second: float
) -> None:
    """P = 0.8 annealed over 4000 moments: 0.2 on average in the first half, 0.6 in the second; p = 0.4 where constant.

    Four standard errors of a share of 2000 draws are at most 0.045.
    """
    dropout = ContextDropoutConfig(p=0.8 if anneal else 0.4, anneal=anneal)
    drops = drop_contexts(4000, dropout, seed=0)
    assert sum(drops[:2000]) / 2000 == pytest.approx(first, abs=0.045)
    assert sum(drops[2000:]) / 2000 == pytest.approx(second, abs=0.045)
    assert drops == drop_contexts(4000, dropout, seed=0) != drop_contexts(4000, dropout, seed=1)


def test_all_lose_it_at_p_1() -> None:
    assert drop_contexts(10, ContextDropoutConfig(p=1), seed=0) == [True] * 10


def test_arms_matched_by_tokens_stop_after_the_step_that_fills_the_thriftiest_ones_tokens() -> None:
    """Short reads 4 * 10 = 40 tokens in two steps of 2; long has read 2 * 30 = 60 after its first step."""
    matched = match_tokens({"short": rows(10, 10, 10, 10), "long": rows(30, 30, 30, 30)}, batch_size=2)
    assert {arm: len(arm_rows) for arm, arm_rows in matched.items()} == {"short": 4, "long": 2}


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(1, 50), min_size=6, max_size=6), min_size=1, max_size=4), st.integers(1, 4))
def test_matched_arms_differ_by_less_than_a_step(lengths: list[list[int]], batch_size: int) -> None:
    matched = match_tokens({str(i): rows(*each) for i, each in enumerate(lengths)}, batch_size)
    budget = min(map(sum, lengths))
    for arm_rows in matched.values():
        read = [len(row.input_ids) for row in arm_rows]
        assert sum(read) >= budget
        assert sum(read[: -batch_size if len(read) % batch_size == 0 else -(len(read) % batch_size)]) < budget


@pytest.mark.parametrize(
    ("changes", "steps"),
    [({"steps": 5}, 5), ({"epochs": 1}, 3), ({"epochs": 2.5}, 7), ({"epochs": 0.01}, 1), ({"batch_size": 64}, 1)],
)
def test_steps_follow_from_rows_epochs_and_batch_size(changes: dict[str, Any], steps: int) -> None:
    """20 rows in batches of 8: 2.5 steps a pass, so 3; two and a half passes are 6.25, so 7."""
    assert optimizer_steps(20, config(**{"batch_size": 8, **changes})) == steps
