"""Is the belief after the critique the one that Bayes' rule makes of the belief before it?

With candidates ŷ_k for one record: prior log p(ŷ_k | x, y'), likelihood log p(c | x, y', ŷ_k), and directly
conditioned log p(ŷ_k | x, y', c), all three from one scoring model. For one joint distribution the normalised
prior × likelihood and the normalised direct belief are equal; a language model asked in two orders need not be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class BayesCheck(NamedTuple):
    """How far the two beliefs over one record's candidates are apart."""

    kl: float
    """KL(direct ‖ updated) in nats."""
    js: float
    """Jensen–Shannon divergence in nats, 0 to ln 2."""
    rank_correlation: float | None
    """Spearman's; None where one side can't be ranked."""
    top1: bool
    """Both hold the same candidate for the best."""


def bayes_check(prior: Sequence[float], likelihood: Sequence[float], direct: Sequence[float]) -> BayesCheck:
    """Compare p(k) ∝ exp(prior + likelihood) with p(k) ∝ exp(direct) over K candidates.

    Args:
        prior: log p(ŷ_k | x, y') of each candidate, K of them, at least two.
        likelihood: log p(c | x, y', ŷ_k).
        direct: log p(ŷ_k | x, y', c).
    """
    updated = _log_normalise(np.add(prior, likelihood))
    conditioned = _log_normalise(np.asarray(direct, dtype=np.float64))
    middle = np.logaddexp(updated, conditioned) - np.log(2)
    return BayesCheck(
        kl=_kl(conditioned, updated),
        js=(_kl(conditioned, middle) + _kl(updated, middle)) / 2,
        rank_correlation=_spearman(updated, conditioned),
        top1=int(updated.argmax()) == int(conditioned.argmax()),
    )


def _log_normalise(values: FloatArray) -> FloatArray:
    normalised: FloatArray = values - np.logaddexp.reduce(values)
    return normalised


def _kl(log_p: FloatArray, log_q: FloatArray) -> float:
    return max(0.0, float(np.sum(np.exp(log_p) * (log_p - log_q))))


def _spearman(a: FloatArray, b: FloatArray) -> float | None:
    """Pearson's correlation of ranks; equal values share the mean of their ranks."""
    ranks = [_ranks(values) for values in (a, b)]
    if any(float(rank.std()) == 0 for rank in ranks):
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: FloatArray) -> FloatArray:
    smaller = (values[None, :] < values[:, None]).sum(axis=1)
    equal = (values[None, :] == values[:, None]).sum(axis=1)
    ranks: FloatArray = smaller + (equal - 1) / 2
    return ranks
