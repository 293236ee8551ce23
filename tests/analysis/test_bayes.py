"""Run with: pytest tests/analysis/test_bayes.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgd.analysis.bayes import bayes_check

NATS = st.floats(-30, 0)


def test_an_exact_joint_model_agrees_with_bayes_to_the_last_digits() -> None:
    """A joint table p(ŷ, c) of 3 refinements and 2 critiques: each belief is read off the table in its own way."""
    joint = np.array([[0.20, 0.05], [0.10, 0.30], [0.05, 0.30]])
    prior = np.log(joint.sum(axis=1))
    for critique in (0, 1):
        likelihood = np.log(joint[:, critique] / joint.sum(axis=1))
        direct = np.log(joint[:, critique] / joint[:, critique].sum())
        check = bayes_check(prior.tolist(), likelihood.tolist(), direct.tolist())
        assert check.kl == pytest.approx(0, abs=1e-12) and check.js == pytest.approx(0, abs=1e-12)
        assert check.top1


@given(st.integers(0, 2**31), st.integers(2, 6), st.integers(2, 5))
def test_every_joint_model_agrees_with_bayes(seed: int, candidates: int, critiques: int) -> None:
    joint = np.random.default_rng(seed).dirichlet(np.ones(candidates * critiques)).reshape(candidates, critiques)
    joint = (joint + 1e-9) / (joint + 1e-9).sum()
    column = joint[:, 0]
    check = bayes_check(
        np.log(joint.sum(axis=1)).tolist(), np.log(column / joint.sum(axis=1)).tolist(), np.log(column).tolist()
    )
    assert check.kl < 1e-6 and check.js < 1e-6


def test_beliefs_that_differ_are_measured_by_hand() -> None:
    """Updated (1/4, 3/4), direct (3/4, 1/4): KL = 3/4 ln 3 + 1/4 ln 1/3 = ln 3 / 2; middle (1/2, 1/2)."""
    check = bayes_check([math.log(1), math.log(3)], [0.0, 0.0], [math.log(3), math.log(1)])
    assert check.kl == pytest.approx(math.log(3) / 2)
    assert check.js == pytest.approx(math.log(2) + 0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert check.rank_correlation == pytest.approx(-1) and not check.top1


@given(st.lists(st.tuples(NATS, NATS, NATS), min_size=2, max_size=6))
def test_divergences_stay_in_their_ranges(rows: list[tuple[float, float, float]]) -> None:
    check = bayes_check(*(list(column) for column in zip(*rows, strict=True)))
    assert check.kl >= 0 and 0 <= check.js <= math.log(2) + 1e-9
    assert check.rank_correlation is None or -1 - 1e-9 <= check.rank_correlation <= 1 + 1e-9
