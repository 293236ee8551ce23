from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, multinomial

from cgd.analysis.statistics import mean_interval, paired_interval, wilson_interval

shares = st.sampled_from([0.0, 1 / 3, 0.5, 2 / 3, 1.0])
verdicts = st.sampled_from([0.0, 1.0])


def pairs_of(values: st.SearchStrategy[float]) -> st.SearchStrategy[list[tuple[float, float]]]:
    return st.lists(st.tuples(values, values), min_size=1, max_size=40)


def split(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [a for a, _ in pairs], [b for _, b in pairs]


# ── one arm ──


def test_wilson_interval_of_five_in_ten_is_the_hand_worked_one() -> None:
    """With p = .5, n = 10, z² = 3.8415: centre .5, half-width 1.96 √(.025 + .0096) / 1.38415 = .2634."""
    assert wilson_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_wilson_interval_of_none_in_ten_ends_at_z2_over_n_plus_z2() -> None:
    """With p = 0 the upper limit is z²/n / (1 + z²/n) = 3.8415 / 13.8415 = .2775."""
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_agrees_with_scipy(counts: tuple[int, int]) -> None:
    reference = binomtest(*counts).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson_interval(*counts) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_a_single_seed_gets_the_wilson_interval() -> None:
    assert mean_interval([1.0] * 86 + [0.0] * 114) == pytest.approx(wilson_interval(86, 200))


def test_more_even_item_values_give_a_shorter_interval() -> None:
    """Items that are right on half of the seeds say more about the mean than items that are always 0 or 1.

    Twenty items of ½ and the pseudo-items 0 and 1: variance (2 · ¼) / 22 = 1/44, design effect 4/44 = 1/11:
    Wilson's interval at an effective size of 220.
    """
    assert mean_interval([0.5] * 20) == pytest.approx(wilson_interval(110, 220))


@given(st.lists(shares, min_size=1, max_size=40))
def test_the_interval_of_a_mean_contains_it_and_stays_in_range(values: list[float]) -> None:
    lower, upper = mean_interval(values)
    assert 0 <= lower <= np.mean(values) + 1e-12
    assert np.mean(values) - 1e-12 <= upper <= 1
    assert upper - lower > 0.01


@given(st.lists(shares, min_size=1, max_size=40))
def test_counting_wrong_instead_of_right_mirrors_the_interval(values: list[float]) -> None:
    lower, upper = mean_interval(values)
    assert mean_interval([1 - value for value in values]) == pytest.approx((1 - upper, 1 - lower))


@pytest.mark.parametrize("alpha, beta", [(0.01, 1.0), (0.05, 2.0), (1.0, 1.0), (5.0, 5.0), (3.0, 0.1)])
@pytest.mark.parametrize("n, seeds", [(50, 3), (200, 5)])
def test_with_several_seeds_about_95_of_100_intervals_cover_the_mean(
    n: int, seeds: int, alpha: float, beta: float
) -> None:
    """Each item has its own chance of being right, from Beta(alpha, beta); 1,000 experiments, seen .94 to .98."""
    generator = np.random.default_rng(1)
    truth = alpha / (alpha + beta)
    values = generator.binomial(seeds, generator.beta(alpha, beta, size=(1000, n))) / seeds
    intervals = [mean_interval(row.tolist()) for row in values]
    assert np.mean([lower <= truth <= upper for lower, upper in intervals]) >= 0.935


# ── two arms ──


def test_the_paired_interval_of_verdicts_agrees_with_a_published_example() -> None:
    """The example of `ci.prop.ps` in the R package statpsych (Bonett): f00 = 12, f01 = 4, f10 = 26, f11 = 6.

    By hand: n = 48, p = 27/50, q = 5/50, centre .44, standard error √((.64 − .1936) / 50) = .09449,
    limits .44 ± 1.96 · .09449.
    """
    a = [0.0] * 12 + [0.0] * 4 + [1.0] * 26 + [1.0] * 6
    b = [0.0] * 12 + [1.0] * 4 + [0.0] * 26 + [1.0] * 6
    assert paired_interval(a, b) == pytest.approx((0.2548067, 0.6251933), abs=1e-7)


@pytest.mark.parametrize("seeds_agree", [True, False])
def test_arms_that_agree_everywhere_still_leave_room_for_a_difference(seeds_agree: bool) -> None:
    """With n = 200, no difference: ± 1.96 √(2/202 / 202) = ± .0137 for verdicts, about the same for shares."""
    values = [float(index % 2) if seeds_agree else 1 / 3 for index in range(200)]
    assert paired_interval(values, values) == pytest.approx((-0.0137, 0.0137), abs=0.002)


@settings(max_examples=60, deadline=None)
@given(st.one_of(pairs_of(verdicts), pairs_of(shares)))
def test_the_paired_interval_contains_the_difference(pairs: list[tuple[float, float]]) -> None:
    a, b = split(pairs)
    lower, upper = paired_interval(a, b)
    assert -1 <= lower <= np.mean(a) - np.mean(b) + 1e-12
    assert np.mean(a) - np.mean(b) - 1e-12 <= upper <= 1


@given(pairs_of(verdicts))
def test_swapping_the_arms_negates_the_interval_of_verdicts(pairs: list[tuple[float, float]]) -> None:
    a, b = split(pairs)
    lower, upper = paired_interval(a, b)
    assert paired_interval(b, a) == pytest.approx((-upper, -lower))


@settings(max_examples=30, deadline=None)
@given(pairs_of(shares))
def test_swapping_the_arms_negates_the_bootstrap_interval_up_to_its_noise(pairs: list[tuple[float, float]]) -> None:
    a, b = split(pairs)
    (lower, upper), (swapped_lower, swapped_upper) = paired_interval(a, b), paired_interval(b, a)
    tolerance = 0.15 * (upper - lower)
    assert (swapped_lower, swapped_upper) == pytest.approx((-upper, -lower), abs=tolerance)


def test_paired_values_of_different_items_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 and 1"):
        paired_interval([0.0, 1.0], [0.0])


def test_no_items_are_refused() -> None:
    with pytest.raises(ValueError, match="no items"):
        mean_interval([])


@pytest.mark.parametrize("n", [20, 100])
@pytest.mark.parametrize(
    "only_a, only_b",
    [(0.0, 0.001), (0.001, 0.001), (0.0, 0.02), (0.001, 0.1), (0.0, 0.2), (0.05, 0.05), (0.02, 0.4), (0.1, 0.2)],
)
def test_paired_intervals_of_verdicts_cover_the_difference_about_95_times_in_100(
    n: int, only_a: float, only_b: float
) -> None:
    """No simulation: the coverage is summed over every possible pair of discordant counts.

    Over a grid of 11 x 11 chances up to .45 and n = 20, 50, 100, 200 it is .928 to 1, on average .96 to .98;
    the worst cases, where one arm never loses an item, are among those tested here.
    """
    first, second = np.divmod(np.arange((n + 1) ** 2), n + 1)
    third = n - first - second
    counts = np.stack([first, second, third], axis=1)[third >= 0]
    probabilities = multinomial.pmf(counts, n, [only_a, only_b, 1 - only_a - only_b])
    covered = 0.0
    for (f, g, same), probability in zip(counts, probabilities, strict=True):
        if probability > 1e-6:
            a, b = [1.0] * f + [0.0] * (g + same), [0.0] * f + [1.0] * g + [0.0] * same
            lower, upper = paired_interval(a, b)
            covered += probability * (lower <= only_a - only_b <= upper)
    assert covered >= 0.925


@pytest.mark.parametrize(
    "before, after, settled", [(0.2, 0.4, 0.98), (0.9, 1.0, 0.9), (0.02, 0.05, 0.5), (0.2, 0.8, 0.9)]
)
def test_with_several_seeds_about_95_of_100_intervals_cover_the_difference(
    before: float, after: float, settled: float
) -> None:
    """A share of the items is settled (right or wrong for both arms), the others move from `before` to `after`.

    One seed before, three after, 100 items, 150 experiments. Without the pseudo-items the bootstrap covers
    between .5 and .9 of such differences; with them .96 to 1 were seen.
    """
    generator = np.random.default_rng(2)
    truth, covered = (1 - settled) * (after - before), 0
    for _ in range(150):
        draw = generator.random(100)
        chance_before = np.where(draw < settled, draw < settled / 2, before)
        chance_after = np.where(draw < settled, draw < settled / 2, after)
        a, b = generator.binomial(3, chance_after) / 3, generator.binomial(1, chance_before)
        lower, upper = paired_interval(a.tolist(), b.tolist())
        covered += lower <= truth <= upper
    assert covered / 150 >= 0.94
