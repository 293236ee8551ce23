"""Run with: pytest tests/analysis/test_drift_divergence.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from cgd.analysis.drift_divergence import divergence, jensen_shannon

weights = st.lists(st.integers(0, 9), min_size=4, max_size=4).filter(any)


def of_one(p: list[float], q: list[float]) -> float:
    return float(jensen_shannon(np.array([p], np.float64), np.array([q], np.float64))[0])


def draw(probabilities: list[float], n: int, replies: int, seed: int) -> dict[str, list[int]]:
    generator = np.random.default_rng(seed)
    values = generator.choice(len(probabilities), p=probabilities, size=(n, replies))
    return {str(prompt): row.tolist() for prompt, row in enumerate(values)}


def test_the_divergence_of_two_distributions_is_the_hand_worked_one() -> None:
    """(1, 0) and (½, ½): the mean is (¾, ¼) with H = .5623, H(p) = 0, H(q) = ln 2: .5623 − .3466 = .2158."""
    assert of_one([1, 0], [1, 1]) == pytest.approx(0.2158, abs=1e-4)


def test_distributions_without_a_common_value_are_ln_2_apart() -> None:
    assert of_one([3, 0, 1], [0, 2, 0]) == pytest.approx(math.log(2))


@given(weights, weights)
def test_the_divergence_is_symmetric_bounded_and_that_of_scipy(p: list[float], q: list[float]) -> None:
    assert of_one(p, q) == pytest.approx(of_one(q, p))
    assert 0 <= of_one(p, q) <= math.log(2)
    assert of_one(p, q) == pytest.approx(np.nan_to_num(jensenshannon(p, q)) ** 2, abs=1e-9)


def test_the_same_replies_show_no_more_than_chance() -> None:
    replies = draw([0.4, 0.3, 0.2, 0.1], 100, 1, seed=0)
    found = divergence(replies, replies)
    assert found["n"] == 100
    assert found["jsd"] == pytest.approx(found["chance"])
    assert found["jsd"] > 0, "two halves of the same replies lie apart"
    assert found["ci95"] == pytest.approx([0, 0], abs=1e-12)


def test_replies_without_a_common_value_lie_ln_2_apart_and_chance_is_taken_off() -> None:
    """All arm replies are "a", all base replies "b": halves of either are the same, so chance is 0."""
    found = divergence({str(n): ["a"] for n in range(20)}, {str(n): ["b"] for n in range(20)})
    assert found["jsd"] == pytest.approx(math.log(2))
    assert (found["chance"], found["excess"]) == (0, pytest.approx(math.log(2)))


def test_only_prompts_of_both_count_and_fewer_than_ten_tell_nothing() -> None:
    arm, base = {str(n): ["a"] for n in range(12)}, {str(n): ["a"] for n in range(3, 20)}
    assert divergence(arm, base) == {"n": 9, "jsd": None, "chance": None, "excess": None, "ci95": None}


def test_several_replies_of_a_prompt_take_turns() -> None:
    """Half of the arm's replies to every prompt are "a", half "b", as base's are over the prompts."""
    arm = {str(n): ["a", "b"] for n in range(200)}
    base = {str(n): ["ab"[n % 2]] for n in range(200)}
    one_seed = divergence({prompt: replies[:1] for prompt, replies in arm.items()}, base)
    assert one_seed["excess"] == pytest.approx(0.2158, abs=0.01), "always (1, 0) against (½, ½)"
    assert divergence(arm, base)["excess"] == pytest.approx(0.2158, abs=0.01), "in each turn all replies are the same"


@pytest.mark.parametrize("replies", [1, 3])
@pytest.mark.parametrize("values", [5, 300])
def test_samples_of_one_distribution_have_an_excess_around_zero(values: int, replies: int) -> None:
    """However many values there are: a plain estimate is off by 0.2 nats with 300 of them and 200 prompts."""
    p = [1 / (1 + value) for value in range(values)]
    p = [weight / sum(p) for weight in p]
    found = [divergence(draw(p, 200, replies, seed), draw(p, 200, 1, 100 + seed)) for seed in range(8)]
    assert np.mean([one["excess"] for one in found]) == pytest.approx(0, abs=0.02)
    assert all(one["ci95"][0] <= 0 <= one["ci95"][1] for one in found)
    assert min(one["chance"] for one in found) > (0.1 if values == 300 else 0)


@pytest.mark.parametrize("q", [[0.1, 0.1, 0.1, 0.2, 0.5], [0.2] * 5])
def test_intervals_hold_the_true_divergence(q: list[float]) -> None:
    """Thirty experiments of 200 prompts; seen in 57 to 60 of 60."""
    p = [0.5, 0.2, 0.1, 0.1, 0.1]
    found = [divergence(draw(p, 200, 1, seed), draw(q, 200, 1, 100 + seed))["ci95"] for seed in range(30)]
    assert sum(lower <= of_one(p, q) <= upper for lower, upper in found) >= 27
