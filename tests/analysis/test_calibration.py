from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from cgd.analysis.calibration import calibration
from cgd.analysis.samples import Sample, agreement, support
from tests.analysis.test_samples import group_of


def exact(items: dict[str, list[list[Sample]]]) -> dict[str, float]:
    """Brier score and AUROC by their definitions, every sample weighing the same."""
    confidence = np.array([one for seeds in items.values() for group in seeds for one in support(group)])
    right = np.array([float(sample.right) for seeds in items.values() for group in seeds for sample in group])
    pairs_won = mannwhitneyu(confidence[right == 1], confidence[right == 0], method="asymptotic").statistic
    return {
        "brier": float(np.mean((confidence - right) ** 2)),
        "auroc": float(pairs_won / (right.sum() * (1 - right).sum())),
    }


def test_two_items_give_the_hand_worked_scores() -> None:
    """Item 1, a a a b with a right: support ⅔ ⅔ ⅔ 0. Item 2, c d e f with c right: support 0.

    Each sample weighs ⅛. Bin of 0: weight ⅝, confidence 0, accuracy ⅕; bin of ⅔: weight ⅜, accuracy 1.
    ECE = ⅝ · ⅕ + ⅜ · ⅓ = ¼. Brier = (3 · 1/9 + 1) / 8 = ⅙. Pairs right–wrong: 4 · 4; three right ones are above
    all four wrong ones, one ties with all: (12 + 2) / 16.
    """
    found = calibration({"one": [group_of("aaab", "a")], "two": [group_of("cdef", "c")]})
    assert found is not None
    assert (found["n"], found["samples"]) == (2, 8)
    assert (found["ece"], found["brier"], found["auroc"]) == pytest.approx((1 / 4, 1 / 6, 14 / 16))
    low, high = found["bins"]
    assert (low["low"], low["high"], low["confidence"], low["n"]) == (0.0, 0.1, 0.0, 2)
    assert (high["low"], high["n"], high["accuracy"]) == (0.6, 1, 1.0)
    assert (low["accuracy"], high["confidence"]) == pytest.approx((1 / 5, 2 / 3))


def test_items_with_a_single_sample_are_left_out() -> None:
    assert calibration({"one": [group_of("a", "a")], "two": [[]]}) is None
    found = calibration({"one": [group_of("a", "a"), group_of("ab", "a")], "two": [group_of("b", "a")]})
    assert found is not None and (found["n"], found["samples"]) == (1, 2)


def test_answers_that_are_all_right_have_no_auroc() -> None:
    found = calibration({"one": [group_of("aab", "ab")]})
    assert found is not None and (found["auroc"], found["auroc_ci95"]) == (None, None)


def test_agreement_of_one_belongs_to_the_last_bin() -> None:
    found = calibration({"one": [group_of("aaa", "a")]})
    assert found is not None
    assert [(one["low"], one["high"], one["accuracy"]) for one in found["bins"]] == [(0.9, 1.0, 1.0)]


def test_about_95_of_100_intervals_cover_the_brier_score_and_the_auroc() -> None:
    """Four samples an item are right with the item's chance, from Beta(1, 1); every wrong answer is another one.

    The truth is that of 20,000 items; 200 experiments of 100 items.
    """
    generator = np.random.default_rng(0)

    def items(n: int) -> dict[str, list[list[Sample]]]:
        rights = generator.random((n, 4)) < generator.beta(1, 1, size=(n, 1))
        return {
            str(index): [[Sample("a" if right else f"w{place}", bool(right)) for place, right in enumerate(row)]]
            for index, row in enumerate(rights)
        }

    truth = exact(items(20_000))
    covered = dict.fromkeys(truth, 0)
    for _ in range(200):
        found = calibration(items(100))
        assert found is not None
        for name, value in truth.items():
            covered[name] += found[f"{name}_ci95"][0] <= value <= found[f"{name}_ci95"][1]
    assert all(0.91 <= count / 200 <= 0.99 for count in covered.values()), covered


groups = st.lists(
    st.lists(st.builds(Sample, st.sampled_from(["4", "5", None]), st.booleans()), min_size=4, max_size=4),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=40)
@given(groups)
def test_scores_agree_with_their_definitions(items: list[list[Sample]]) -> None:
    found = calibration({str(index): [group] for index, group in enumerate(items)})
    assert found is not None
    rights = [sample.right for group in items for sample in group]
    if any(rights) and not all(rights):
        truth = exact({str(index): [group] for index, group in enumerate(items)})
        assert {name: found[name] for name in truth} == pytest.approx(truth)
    assert np.mean([agreement(group) for group in items]) == pytest.approx(
        np.mean([one for group in items for one in support(group)])
    )
    assert all(one["ci95"][0] - 1e-9 <= one["accuracy"] <= one["ci95"][1] + 1e-9 for one in found["bins"])
