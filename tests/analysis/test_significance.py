from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from cgd.analysis.significance import detectable_with, holm, mcnemar_p, minimum_detectable_difference

verdict_pairs = st.lists(st.tuples(*[st.sampled_from([0.0, 1.0])] * 2), min_size=1, max_size=40)
p_values = st.lists(st.floats(0, 1), max_size=12)

# ── McNemar ──


def test_mcnemar_counts_only_the_discordant_items() -> None:
    """Eight only a, two only b: 2 · (C(10,0) + C(10,1) + C(10,2)) / 2¹⁰ = 112 / 1024."""
    a = [1.0] * 8 + [0.0] * 2 + [1.0] * 50
    b = [0.0] * 8 + [1.0] * 2 + [1.0] * 50
    assert mcnemar_p(a, b) == pytest.approx(112 / 1024)


def test_mcnemar_of_arms_that_agree_everywhere_is_one() -> None:
    assert mcnemar_p([1.0, 0.0], [1.0, 0.0]) == 1.0


@given(verdict_pairs)
def test_mcnemar_does_not_mind_which_arm_comes_first(pairs: list[tuple[float, float]]) -> None:
    a, b = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    assert mcnemar_p(a, b) == pytest.approx(mcnemar_p(b, a))


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_agrees_with_the_binomial_test_of_scipy(only_a: int, only_b: int) -> None:
    a, b = [1.0] * only_a + [0.0] * only_b + [1.0], [0.0] * only_a + [1.0] * only_b + [1.0]
    expected = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar_p(a, b) == pytest.approx(expected)


# ── several comparisons ──


def test_holm_multiplies_the_smallest_by_all_the_next_by_one_less() -> None:
    """Of .01, .04, .03, .005: 4 · .005 = .02, 3 · .01 = .03, 2 · .03 = .06, then .04, raised to .06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_of_a_single_comparison_changes_nothing() -> None:
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


@given(p_values)
def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order(values: list[float]) -> None:
    adjusted = holm(values)
    for p, corrected in zip(values, adjusted, strict=True):
        assert p <= corrected <= min(1.0, len(values) * p) + 1e-12
    order = np.argsort(values, kind="stable")
    assert sorted(adjusted) == [adjusted[index] for index in order]


# ── what could be seen ──


def test_the_detectable_difference_of_forty_items_is_the_hand_worked_one() -> None:
    """Discordance .25: 2.8016 √(.25 / 40) = .2215; unknown, ½: 2.8016 √(.5 / 40) = .3132."""
    assert minimum_detectable_difference(40, 0.25) == pytest.approx(0.2215, abs=1e-4)
    assert minimum_detectable_difference(40) == pytest.approx(0.3132, abs=1e-4)


def test_arms_that_hardly_disagree_need_about_eight_items_all_on_one_side() -> None:
    """7.849 / 200 = .0392, whatever the discordance below that; it never exceeds 1."""
    assert minimum_detectable_difference(200, 0.0) == minimum_detectable_difference(200, 0.01)
    assert minimum_detectable_difference(200, 0.0) == pytest.approx(0.0392, abs=1e-4)
    assert minimum_detectable_difference(3, 0.0) == 1.0


@pytest.mark.parametrize("n", [40, 200, 1319])
@pytest.mark.parametrize("discordance", [0.01, 0.1, 0.2, 0.5])
def test_the_exact_test_finds_the_detectable_difference_about_80_times_in_100(n: int, discordance: float) -> None:
    """No simulation: over every count of discordant items and every split of them it is .774 to .824.

    The exact test rejects a little less than 5 times in 100 where nothing differs, which costs it some power.
    """
    difference = minimum_detectable_difference(n, discordance)
    q = max(discordance, difference)
    share = (q + difference) / 2 / q
    power = 0.0
    for discordant in range(n + 1):
        splits = np.arange(discordant + 1)
        p = 2 * binom.cdf(np.minimum(splits, discordant - splits), discordant, 0.5)
        power += binom.pmf(discordant, n, q) * float(binom.pmf(splits, discordant, share)[p <= 0.05].sum())
    assert 0.77 <= power <= 0.83


def test_an_interval_finds_differences_of_1_43_times_half_its_width() -> None:
    """(1.9600 + .8416) / 1.9600 = 1.4294: of ± .07, .1001; never more than 1."""
    assert detectable_with((-0.02, 0.12)) == pytest.approx(0.1001, abs=1e-4)
    assert detectable_with((-1.0, 1.0)) == 1.0
