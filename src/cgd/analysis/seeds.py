"""What training again with another seed would change: the spread of accuracies over seeds, as a random effect.

Seeds are crossed with items (each seed's student answers every item), a sample of all seeds, and independent
between arms, also where two arms use the same number. `tests/analysis/test_seeds.py` checks the coverage.

Axes: I items, S training seeds of one arm. A cell is the item's value in [0, 1] under a seed, NaN without verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cgd.analysis.statistics import (
    CONFIDENCE,
    SEED,
    FloatArray,
    Interval,
    percentile_interval,
    resampled_means,
    with_pseudo_items,
)


class Comparison(NamedTuple):
    """Interval of a difference, and the two-sided p-value that it is zero."""

    interval: Interval
    p: float


class _Part(NamedTuple):
    """A part of the variance of a difference, and the degrees of freedom that it is known with."""

    variance: float
    freedom: int


def seeds_interval(accuracies: Sequence[float]) -> Interval | None:
    """Where the mean accuracy over all seeds lies, for these very items: m ± t √(s² / S), cut to [0, 1].

    The t interval of a mean with S − 1 degrees of freedom (Student, "The Probable Error of a Mean", Biometrika
    6 (1908)): it holds for new seeds, and says nothing about other items, as `mean_interval` does the other way round.

    Args:
        accuracies: one a seed.

    Returns:
        None with less than two seeds, which tell nothing of others.
    """
    if len(accuracies) < 2:
        return None
    mean = float(np.mean(accuracies))
    half_width = _t(len(accuracies) - 1) * float(np.std(accuracies, ddof=1)) / math.sqrt(len(accuracies))
    return Interval(max(0.0, mean - half_width), min(1.0, mean + half_width))


def compare_over_seeds(a_IS: FloatArray, b_IS: FloatArray) -> Comparison:
    """Interval and p-value of mean(a) − mean(b) for other items and other seeds of the same kind.

    Every draw is the mean difference of resampled items, each with all its seeds (and the two pseudo-items), plus
    each arm's seed effect. Two or three seeds are too few to resample: the mean of three resampled ones varies a
    third less than that of three new ones, and knows of no fourth. So a seed effect is drawn from the normal
    distribution N(0, σ² / S) of a random effect, whose variance is estimated from the two-way table of the arm,

        σ² = max(0, s² − w² / I),  s² the variance of the seeds' means,
        w² = Σ (a_is − a_i. − a_.s + a_..)² / ((I − 1)(S − 1)) the chance of single answers, which items resample.

    (Searle, Casella and McCulloch, "Variance Components" (1992).) The draws are then stretched about
    the difference by t / z, with t at the degrees of freedom of the summed variances after Satterthwaite,
    Biometrics Bulletin 2 (1946): the expanded percentile interval of Hesterberg, "What Teachers Should Know About
    the Bootstrap", The American Statistician 69 (2015). An arm with a single seed has no seed effect: nothing
    tells how another seed of it would do. The p-value is the same draws': twice the smaller share of them on
    either side of zero, at least 2 / (draws + 1), so that p < .05 and an interval without zero go together.

    Args:
        a_IS: cells of one arm; every item has at least one.
        b_IS: cells of the other arm, the same items, any number of seeds.
    """
    differences = np.nanmean(a_IS, axis=1) - np.nanmean(b_IS, axis=1)
    n, observed = len(differences), float(differences.mean())
    items = resampled_means(with_pseudo_items(differences))
    effects = [_seed_effect(cells_IS) for cells_IS in (a_IS, b_IS) if cells_IS.shape[1] > 1 and n > 1]
    spread = math.sqrt(sum(effect.variance for effect in effects))
    draws = items + np.random.default_rng(SEED + 1).normal(0.0, spread, len(items))
    freedom = _satterthwaite([_Part(float(items.var()), max(1, n - 1)), *effects])
    draws = observed + (draws - observed) * _t(freedom) / _t(math.inf)
    lower, upper = percentile_interval(draws)
    return Comparison(Interval(max(-1.0, lower), min(1.0, upper)), _two_sided_p(draws))


def _seed_effect(cells_IS: FloatArray) -> _Part:
    n, seeds = cells_IS.shape
    centred_IS = cells_IS - np.nanmean(cells_IS, axis=1, keepdims=True)
    effect_S = np.nanmean(centred_IS, axis=0)
    of_answers = float(np.nansum((centred_IS - effect_S) ** 2)) / ((n - 1) * (seeds - 1))
    of_seeds = max(0.0, float(np.sum(effect_S**2)) / (seeds - 1) - of_answers / n)
    return _Part(of_seeds / seeds, seeds - 1)


def _satterthwaite(parts: Sequence[_Part]) -> float:
    total = sum(part.variance for part in parts)
    return total**2 / sum(part.variance**2 / part.freedom for part in parts)


def _two_sided_p(draws: FloatArray) -> float:
    on_the_fewer_side = min(int(np.sum(draws <= 0)), int(np.sum(draws >= 0)))
    return min(1.0, 2 * (on_the_fewer_side + 1) / (len(draws) + 1))


def _t(freedom: float) -> float:
    """The quantile of Student's t at the confidence level."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return float(stdtrit(min(freedom, 1e9), (1 + CONFIDENCE) / 2))
