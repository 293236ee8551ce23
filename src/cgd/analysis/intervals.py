"""Means of quantities such as nats and ratios, with 95% intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def mean_of(values: Sequence[float], *, least: float = -math.inf, most: float = math.inf) -> dict[str, Any]:
    """Mean, Student's interval and n: m ± t(0.975, n − 1) s / √n; no interval for fewer than two values.

    Source: Student, "The Probable Error of a Mean", Biometrika 6 (1908).

    Args:
        values: one an item.
        least: smallest value that there can be, as 0 of a divergence. The interval is cut there, which takes nothing
            from how often it holds the mean.
        most: likewise the largest.
    """
    if not values:
        return {"mean": None, "ci95": None, "n": 0}
    sample = np.asarray(values, dtype=np.float64)
    mean = float(sample.mean())
    if len(sample) < 2:
        return {"mean": mean, "ci95": None, "n": 1}
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    half = float(stdtrit(len(sample) - 1, 0.975)) * float(sample.std(ddof=1)) / math.sqrt(len(sample))
    return {"mean": mean, "ci95": [max(mean - half, least), min(mean + half, most)], "n": len(sample)}
