"""Run with: pytest tests/analysis/test_intervals.py."""

from __future__ import annotations

import numpy as np
import pytest

from cgd.analysis.intervals import mean_of


def test_the_interval_of_a_mean_is_students() -> None:
    """1, 2, 3: mean 2, s = 1, t(0.975, 2) = 4.3027, half width 4.3027 / sqrt(3) = 2.4841."""
    found = mean_of([1.0, 2.0, 3.0])
    assert found["mean"] == 2 and found["n"] == 3
    assert found["ci95"] == pytest.approx([2 - 2.4841, 2 + 2.4841], abs=1e-4)


def test_too_few_values_have_no_interval() -> None:
    assert mean_of([]) == {"mean": None, "ci95": None, "n": 0}
    assert mean_of([0.5]) == {"mean": 0.5, "ci95": None, "n": 1}


def test_the_interval_is_cut_where_no_mean_can_lie() -> None:
    """1, 2, 3 reach from −0.4841 to 4.4841: a divergence begins at 0, and of the bounds 0 and 4 both cut."""
    assert mean_of([1.0, 2.0, 3.0], least=0.0)["ci95"] == pytest.approx([0.0, 4.4841], abs=1e-4)
    assert mean_of([1.0, 2.0, 3.0], least=0.0, most=4.0)["ci95"] == [0.0, 4.0]


def test_it_covers_the_truth_as_often_as_it_says() -> None:
    """2,000 samples of 30 exponential values, which are skewed as entropies are; the mean is 1."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        low, high = mean_of(rng.exponential(size=30).tolist())["ci95"]
        covered += low <= 1 <= high
    assert 0.91 < covered / 2000 < 0.97
