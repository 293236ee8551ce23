from __future__ import annotations

from collections import Counter
from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.analysis.samples import (
    Sample,
    agreement,
    ks,
    majority_at_k,
    normalised,
    pass_at_k,
    support,
    win_chances,
)

samples = st.builds(Sample, st.sampled_from(["4", "5", "6", None]), st.booleans())
groups = st.lists(samples, min_size=1, max_size=8)
groups_and_k = groups.flatmap(lambda group: st.tuples(st.just(group), st.integers(1, len(group))))


def group_of(answers: str, right: str) -> list[Sample]:
    """One sample a letter: its answer, `-` for none; the answers named by `right` are right ones."""
    return [Sample(None if letter == "-" else letter, letter in right) for letter in answers]


def vote(drawn: tuple[Sample, ...]) -> float:
    """The definition: a random one of the most frequent answers; then of its drawn samples."""
    counts = Counter(sample.answer for sample in drawn)
    winners = [answer for answer, count in counts.items() if count == max(counts.values())]
    return fmean(fmean(sample.right for sample in drawn if sample.answer == winner) for winner in winners)


@pytest.mark.parametrize(
    "one, other", [("4", "4.0"), ("4", r"\boxed{4}"), ("50%", "0.5"), ("(C)", "c"), ("1,000", "1000"), ("Yes", "yes")]
)
def test_two_ways_to_write_an_answer_are_one_answer(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize("one, other", [("4", "5"), ("x", "y"), ("(C)", "(D)"), ("1/2", "2/1")])
def test_other_answers_stay_apart(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


def test_k_runs_over_the_powers_of_two_and_ends_with_all_samples() -> None:
    assert (ks(1), ks(2), ks(4), ks(6), ks(16)) == ([1], [1, 2], [1, 2, 4], [1, 2, 4, 6], [1, 2, 4, 8, 16])


def test_pass_at_2_of_two_right_in_four_is_the_hand_worked_one() -> None:
    """1 − C(2, 2) / C(4, 2) = 1 − 1/6."""
    assert pass_at_k(group_of("aabb", "a"), 2) == pytest.approx(5 / 6)


@given(groups_and_k)
def test_pass_at_k_is_the_share_of_subsets_with_a_right_answer(case: tuple[list[Sample], int]) -> None:
    group, k = case
    expected = fmean(any(sample.right for sample in drawn) for drawn in combinations(group, k))
    assert pass_at_k(group, k) == pytest.approx(expected)


def test_the_vote_of_all_follows_the_most_frequent_answer() -> None:
    """Three a, two b: a wins. Two a, two b: each half of the time."""
    assert majority_at_k(group_of("aaabb", "a"), 5) == pytest.approx(1)
    assert majority_at_k(group_of("aaabb", "b"), 5) == pytest.approx(0)
    assert majority_at_k(group_of("aabb", "a"), 4) == pytest.approx(0.5)


def test_maj_at_3_of_three_in_five_is_the_hand_worked_one() -> None:
    """Of C(5, 3) = 10 subsets of a a a b b the a lead in 1 (three) and 3 · 2 (two): .7."""
    assert majority_at_k(group_of("aaabb", "a"), 3) == pytest.approx(0.7)


def test_samples_without_an_answer_vote_together_and_lose_what_they_win() -> None:
    assert majority_at_k(group_of("---ab", "a"), 5) == pytest.approx(0)


@settings(deadline=None)
@given(groups_and_k)
def test_maj_at_k_is_the_mean_vote_over_all_subsets(case: tuple[list[Sample], int]) -> None:
    group, k = case
    assert majority_at_k(group, k) == pytest.approx(fmean(vote(drawn) for drawn in combinations(group, k)))


@settings(deadline=None)
@given(groups)
def test_one_vote_and_two_votes_are_worth_the_mean_of_all_samples(group: list[Sample]) -> None:
    mean = fmean(sample.right for sample in group)
    assert majority_at_k(group, 1) == pytest.approx(mean) == pass_at_k(group, 1)
    if len(group) > 1:
        assert majority_at_k(group, 2) == pytest.approx(mean)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 12))
def test_some_answer_wins_and_the_more_frequent_one_more_often(sizes: list[int], k: int) -> None:
    ordered = tuple(sorted(sizes))
    chances = win_chances(ordered, min(k, sum(sizes)))
    assert sum(chances) == pytest.approx(1)
    assert all(less <= more + 1e-9 for less, more in zip(chances, chances[1:], strict=False))


def test_sixty_four_samples_are_still_counted_exactly() -> None:
    """Two answers with 32 samples each win equally often."""
    assert win_chances((32, 32), 32) == pytest.approx((0.5, 0.5), abs=1e-9)


def test_agreement_is_the_share_of_pairs_with_one_answer() -> None:
    """Of the C(5, 2) = 10 pairs of a a a b - agree 3; the lone answer and the missing one agree with none."""
    group = group_of("aaab-", "a")
    assert agreement(group) == pytest.approx(0.3)
    assert support(group) == pytest.approx([0.5, 0.5, 0.5, 0, 0])


def test_two_samples_without_an_answer_do_not_agree() -> None:
    assert agreement(group_of("--", "a")) == 0


@given(st.lists(samples, min_size=2, max_size=8))
def test_agreement_is_counted_over_pairs(group: list[Sample]) -> None:
    pairs = [a.answer == b.answer is not None for a, b in combinations(group, 2)]
    assert agreement(group) == pytest.approx(fmean(pairs))
