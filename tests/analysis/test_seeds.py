from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import t

from cgd.analysis.seeds import compare_over_seeds, seeds_interval
from cgd.analysis.statistics import FloatArray, paired_interval


def test_three_seeds_give_the_hand_worked_t_interval() -> None:
    """Mean .5, s = .1, t(2) = 4.3027: .5 ± 4.3027 · .1 / √3 = .5 ± .2484."""
    assert seeds_interval([0.4, 0.5, 0.6]) == pytest.approx((0.2516, 0.7484), abs=1e-4)


def test_one_seed_tells_nothing_of_others() -> None:
    assert seeds_interval([0.5]) is None


@given(st.lists(st.floats(0.45, 0.55), min_size=2, max_size=6))
def test_the_interval_over_seeds_agrees_with_scipy(accuracies: list[float]) -> None:
    n, mean, error = len(accuracies), np.mean(accuracies), np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))
    expected = [max(0.0, mean - t.ppf(0.975, n - 1) * error), min(1.0, mean + t.ppf(0.975, n - 1) * error)]
    assert seeds_interval(accuracies) == pytest.approx(expected, abs=1e-9)


def test_about_95_of_100_intervals_over_seeds_cover_the_mean_of_all_seeds() -> None:
    """Accuracies of three seeds around .6 with a standard deviation of .03; 2,000 experiments."""
    accuracies = np.random.default_rng(0).normal(0.6, 0.03, size=(2000, 3))
    covered = 0
    for row in accuracies:
        interval = seeds_interval(row.tolist())
        assert interval is not None
        covered += interval.lower <= 0.6 <= interval.upper
    assert 0.93 <= covered / 2000 <= 0.97


# ── two arms ──


def answers(generator: np.random.Generator, chance_I: FloatArray, seeds: int, spread: float) -> FloatArray:
    """Verdicts where every seed moves the chance of every item by the same amount."""
    chance_IS = np.clip(chance_I[:, None] + generator.normal(0, spread, size=seeds), 0, 1)
    return (generator.random(chance_IS.shape) < chance_IS).astype(np.float64)


def test_single_seeds_get_the_bootstrap_over_items_a_little_stretched() -> None:
    """No seed effect: the percentile interval of `paired_interval` times t(59) / 1.96 = 2.0010 / 1.9600."""
    generator = np.random.default_rng(0)
    a, b = generator.choice([0.0, 0.5, 1.0], size=(2, 60))
    interval, _ = compare_over_seeds(a[:, None], b[:, None])
    lower, upper = paired_interval(a.tolist(), b.tolist())
    assert interval.upper - interval.lower == pytest.approx((upper - lower) * 2.0010 / 1.9600, rel=1e-3)


def test_seeds_that_differ_widen_the_interval() -> None:
    """Seeds of 20%, 50% and 80% against three of 50%: s = .3, and with t(2) about ± 4.3 · .3 / √3 = ± .75."""

    def arm(*accuracies: float) -> FloatArray:
        return np.array([[float(index < 100 * accuracy) for accuracy in accuracies] for index in range(100)])

    steady, scattered = arm(0.5, 0.5, 0.5), arm(0.2, 0.5, 0.8)
    narrow = compare_over_seeds(steady, arm(0.4, 0.4, 0.4))
    wide = compare_over_seeds(scattered, arm(0.4, 0.4, 0.4))
    assert narrow.p < 0.05 < wide.p
    assert narrow.interval.lower > 0
    assert wide.interval.upper - wide.interval.lower == pytest.approx(2 * 0.75, abs=0.25)


def test_an_item_without_a_verdict_under_one_seed_still_counts() -> None:
    a_IS = np.array([[1.0, np.nan], [1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    interval, _ = compare_over_seeds(a_IS, np.zeros((4, 1)))
    assert interval.lower < 0.875 < interval.upper


cells = st.tuples(st.integers(2, 12), st.integers(1, 3), st.integers(1, 3)).flatmap(
    lambda shape: st.tuples(
        arrays(np.float64, (shape[0], shape[1]), elements=st.sampled_from([0.0, 0.5, 1.0])),
        arrays(np.float64, (shape[0], shape[2]), elements=st.sampled_from([0.0, 0.5, 1.0])),
    )
)


@settings(max_examples=60, deadline=None)
@given(cells)
def test_the_interval_contains_the_difference_and_agrees_with_the_p_value(arms: tuple[FloatArray, FloatArray]) -> None:
    interval, p = compare_over_seeds(*arms)
    difference = arms[0].mean() - arms[1].mean()
    assert -1 <= interval.lower <= difference + 1e-9
    assert difference - 1e-9 <= interval.upper <= 1
    assert 0 < p <= 1
    if not interval.lower <= 0 <= interval.upper:
        assert p <= 0.0502
    if interval.lower < 0 < interval.upper:
        assert p >= 0.0498


def test_the_p_value_of_arms_that_do_not_differ_is_below_05_about_5_times_in_100() -> None:
    """Three seeds an arm that move by 3 points, 100 items; 300 experiments, so ± .025. Of 1,000: .036."""
    generator = np.random.default_rng(3)
    low = 0
    for _ in range(300):
        chance_I = generator.beta(1, 1, size=100)
        a_IS, b_IS = (answers(generator, chance_I, 3, 0.03) for _ in range(2))
        low += compare_over_seeds(a_IS, b_IS).p < 0.05
    assert low / 300 <= 0.08


@pytest.mark.parametrize(
    "n, seeds, spread, expected",
    [
        (40, (3, 3), 0.0, 0.98),
        (300, (3, 3), 0.0, 0.97),
        (300, (3, 1), 0.0, 0.95),
        (300, (3, 3), 0.03, 0.94),
        (300, (5, 5), 0.06, 0.95),
        (300, (2, 2), 0.06, 0.90),
    ],
)
def test_intervals_cover_the_difference_over_all_items_and_seeds(
    n: int, seeds: tuple[int, int], spread: float, expected: float
) -> None:
    """Chances of items from Beta(2, 2) and 10 points more for one arm; 250 experiments, so ± .03.

    Short of 95% only where two seeds differ by far more than their answers explain (.90); above it where there are
    few items, as the pseudo-items weigh more.
    """
    generator = np.random.default_rng(4)
    covered = 0
    for _ in range(250):
        chance_I = 0.1 + 0.6 * generator.beta(2, 2, size=n)
        a_IS, b_IS = (
            answers(generator, chance_I + 0.1, seeds[0], spread),
            answers(generator, chance_I, seeds[1], spread),
        )
        lower, upper = compare_over_seeds(a_IS, b_IS).interval
        covered += lower <= 0.1 <= upper
    assert covered / 250 == pytest.approx(expected, abs=0.035)
