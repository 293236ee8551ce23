"""Whether answers that other samples repeat are the right ones: agreement as a confidence, against correctness.

A sample's confidence is its support, the share of the other samples of its group that give its answer; the mean
confidence is the consistency. Every item weighs the same, however many samples of it have a verdict.

Axes: R resamples, I items, V distinct confidences, B bins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cgd.analysis.samples import Sample, support
from cgd.analysis.statistics import SEED, FloatArray, percentile_interval, wilson_interval

_RESAMPLES = 2000
_BINS = 10


class _Table(NamedTuple):
    """Weight of each item's samples at each distinct confidence (the items' weights add up to 1), and of right ones."""

    confidence_V: FloatArray
    weight_IV: FloatArray
    right_IV: FloatArray


def calibration(groups: Mapping[str, Sequence[Sequence[Sample]]]) -> dict[str, Any] | None:
    """Reliability, ECE, Brier score and AUROC of agreement as a forecast of the strict verdict.

    - `ece`, expected calibration error: Σ over ten bins of equal width of the bin's weight times
      |accuracy − mean confidence| (Naeini et al., AAAI 2015; Guo et al., arXiv 1706.04599). It is above zero for
      a perfect forecast too, the more the fewer items.
    - `brier`: mean of (confidence − verdict)² (Brier, Monthly Weather Review 78 (1950)).
    - `auroc`: chance that a right sample has more support than a wrong one, equal support counting half
      (Hanley and McNeil, Radiology 143 (1982)); None where all are right or all wrong.

    Intervals are percentiles of 2,000 bootstrap resamples of items; that of a bin's accuracy is Wilson's, with
    the items that have a sample in it as sample size.

    Args:
        groups: by prompt id, the group of each training seed.

    Returns:
        `n` items with a group of two samples or more, `samples` in these; `ece`, `brier`, `auroc` with `ece_ci95`,
        `brier_ci95`, `auroc_ci95`; `bins`, those with samples: `low` and `high` (their ends; 1 belongs to the last),
        mean `confidence`, `accuracy`, `ci95`, `n` items. None where no item has two samples.
    """
    items = [[group for group in seeds if len(group) > 1] for seeds in groups.values()]
    items = [seeds for seeds in items if seeds]
    if not items:
        return None
    pairs = [
        [
            (confidence, sample.right)
            for group in seeds
            for confidence, sample in zip(support(group), group, strict=True)
        ]
        for seeds in items
    ]
    table = _table(pairs)
    drawn = np.random.default_rng(SEED).integers(len(items), size=(_RESAMPLES, len(items)))
    offsets = len(items) * np.arange(_RESAMPLES)[:, None]
    counts = np.bincount((drawn + offsets).ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
    observed, resampled = _scores(table, np.ones((1, len(items)))), _scores(table, counts)
    scores: dict[str, Any] = {"n": len(items), "samples": sum(len(item) for item in pairs)}
    for name, values in observed.items():
        draws = resampled[name][~np.isnan(resampled[name])]
        scores[name] = None if np.isnan(values[0]) else float(values[0])
        scores[f"{name}_ci95"] = None if scores[name] is None else list(percentile_interval(draws))
    return {**scores, "bins": _bins(table)}


def _table(pairs: Sequence[Sequence[tuple[float, bool]]]) -> _Table:
    confidence_V = np.unique([confidence for item in pairs for confidence, _ in item])
    weight_IV, right_IV = np.zeros((2, len(pairs), len(confidence_V)))
    for index, item in enumerate(pairs):
        for confidence, right in item:
            column = np.searchsorted(confidence_V, confidence)
            weight_IV[index, column] += 1 / len(item)
            right_IV[index, column] += right / len(item)
    return _Table(confidence_V, weight_IV, right_IV)


def _scores(table: _Table, counts_RI: FloatArray) -> dict[str, FloatArray]:
    """The scores of resamples, in which each item occurs as often as its count says."""
    n = counts_RI.shape[1]
    weight_RV, right_RV = counts_RI @ table.weight_IV / n, counts_RI @ table.right_IV / n
    wrong_RV, confidence_V = weight_RV - right_RV, table.confidence_V
    gap_RB = (right_RV - weight_RV * confidence_V) @ _in_bin(confidence_V)
    below_RV = np.cumsum(wrong_RV, axis=1) - wrong_RV / 2
    pairs_R = right_RV.sum(axis=1) * wrong_RV.sum(axis=1)
    ordered_R = np.sum(right_RV * below_RV, axis=1)
    return {
        "ece": np.abs(gap_RB).sum(axis=1),
        "brier": right_RV @ (1 - confidence_V) ** 2 + wrong_RV @ confidence_V**2,
        "auroc": np.divide(ordered_R, pairs_R, out=np.full(len(pairs_R), np.nan), where=pairs_R > 1e-9),
    }


def _bins(table: _Table) -> list[dict[str, Any]]:
    in_bin_VB = _in_bin(table.confidence_V)
    weight_IB, right_IB = table.weight_IV @ in_bin_VB, table.right_IV @ in_bin_VB
    confidence_B = (table.weight_IV.sum(axis=0) * table.confidence_V) @ in_bin_VB
    bins = []
    for number in np.flatnonzero(weight_IB.sum(axis=0)):
        n, weight = int(np.sum(weight_IB[:, number] > 0)), float(weight_IB[:, number].sum())
        accuracy = min(1.0, float(right_IB[:, number].sum()) / weight)
        bins.append(
            {
                "low": number / _BINS,
                "high": (number + 1) / _BINS,
                "confidence": float(confidence_B[number]) / weight,
                "accuracy": accuracy,
                "ci95": list(wilson_interval(accuracy * n, n)),
                "n": n,
            }
        )
    return bins


def _in_bin(confidence_V: FloatArray) -> FloatArray:
    """Ones where a confidence belongs to a bin; a tiny step keeps 0.3 = 3 · 0.1 in the bin that it opens."""
    bin_V = np.minimum(np.floor(confidence_V * _BINS + 1e-9), _BINS - 1)
    return np.asarray(bin_V[:, None] == np.arange(_BINS), dtype=np.float64)
