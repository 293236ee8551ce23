"""Run with: pytest tests/benchmarks/test_training.py."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.training import compare
from cgd.training.completion_only import IGNORED, EncodedRow


def test_rates_are_those_of_the_steps_after_the_first_and_ratios_those_of_each_turn() -> None:
    """Two rows a step, 3 target tokens of 8 in each: two steps after the first have 12 of 32.

    cgd takes 2 s for them, then 4 s: 6 and 3 a second; TRL 6 s both times: 2 a second. The ratios are 3 and 1.5, in
    the middle 2.25. 20 operations in 2 s are half of a matrix product's 20 a second, in 4 s a quarter.
    """
    row = {"encoded": EncodedRow([7] * 8, [IGNORED] * 5 + [7] * 3)}
    job = {"batch_size": 2, "rows": [row] * 6}
    quick: dict[str, Any] = {"seconds": [9.0, 1.0, 1.0], "flops": [99.0, 10.0, 10.0], "matrix_product_flops": 20.0}
    slow = {**quick, "seconds": [9.0, 2.0, 2.0]}
    trl = {"seconds": [9.0, 3.0, 3.0], "peak_gib": 8.0}
    found = {"cgd": [{**quick, "peak_gib": 4.0}, {**slow, "peak_gib": 4.0}], "trl": [trl, trl], "trl_tuned": [trl, trl]}
    figures = compare(job, {"own": 1.5, "packed": 1.25}, found)
    assert figures["speedup"] == figures["speedup_tuned"] == pytest.approx(2.25)
    assert figures["flops_fraction"] == pytest.approx((0.5 + 0.25) / 2)
    assert figures["loss_difference"] == 0.25 and figures["memory_ratio"] == 0.5
    assert figures["cgd_target_tokens_per_s"] == pytest.approx(4.5) and figures["mean_row_tokens"] == 8
