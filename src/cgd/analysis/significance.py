"""Whether a difference is more than chance, after how many comparisons, and which difference could be seen at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

ALPHA = 0.05
POWER = 0.8
INDEPENDENT = 0.5
"""Share of items on which two unrelated arms disagree, at most: both right on half of them."""


def mcnemar_p(a_per_item: Sequence[float], b_per_item: Sequence[float]) -> float:
    """Exact two-sided p-value that 0/1 verdicts of two arms on the same items differ by chance alone.

    Under the null each discordant item (only one of the two is right) falls to either side with
    probability ½: a binomial test on the discordant items; 1.0 where there are none. Source: McNemar,
    Psychometrika 12 (1947), in its exact conditional form.
    """
    a, b = np.asarray(a_per_item), np.asarray(b_per_item)
    only_a, only_b = int(np.sum(a > b)), int(np.sum(a < b))
    if only_a + only_b == 0:
        return 1.0
    from scipy.special import bdtr  # scipy.stats takes a second to import, which a finished run need not wait for

    return min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of one family of comparisons, in the order they came in.

    The i-th smallest of m values, i = 0, 1, …, is multiplied by m − i; none ends below a smaller one's, none
    above 1. Rejecting what is at most .05 errs anywhere in the family with at most 5% chance, whatever depends
    on what. Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
    Statistics 6 (1979).
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def minimum_detectable_difference(n: int, discordance: float = INDEPENDENT) -> float:
    """The least true difference of two accuracies that a test at .05 finds with 80% chance on n paired items.

    δ = max((z_α/2 + z_β) √(q / n), (z_α/2 + z_β)² / n), at most 1, with z_α/2 + z_β = 1.960 + .842. McNemar's
    test needs n = (z_α/2 √q + z_β √(q − δ²))² / δ² items where a share q of them is discordant (Connor, "Sample Size
    for Testing Differences in Proportions for the Paired-Sample Design", Biometrics 43 (1987)); leaving δ² out
    of the second root errs on the safe side. A difference can't exceed the discordance, so where the first term
    would, all discordant items fall to one side, q = δ: the second term.

    Args:
        n: items with a verdict in both arms, more than zero.
        discordance: q, the share of items that exactly one arm has right. The default, ½, is what unrelated arms
            of any one accuracy don't exceed.
    """
    z = _z(1 - ALPHA / 2) + _z(POWER)
    return min(1.0, max(z * math.sqrt(discordance / n), z**2 / n))


def detectable_with(interval: tuple[float, float]) -> float:
    """The least true difference found with 80% chance by a 95% interval as wide as this one, at most 1.

    Half the width is z_α/2 standard errors, z_α/2 + z_β of which are needed: 1.43 half widths. It holds for
    whatever the interval takes into account, training seeds too.
    """
    lower, upper = interval
    return min(1.0, (upper - lower) / 2 * (1 + _z(POWER) / _z(1 - ALPHA / 2)))


def _z(probability: float) -> float:
    return NormalDist().inv_cdf(probability)
