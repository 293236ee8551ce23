from __future__ import annotations

from typing import Any

import pytest

from cgd.analysis.words import pair_words, task_words


def pair(
    difference: float, low: float, high: float, n: int = 200, p_holm: float = 0.01, mdd: float = 0.1
) -> dict[str, Any]:
    return {
        **{"a": "cgd", "b": "base", "n": n, "difference": difference, "ci95": [low, high]},
        **{"p_holm": p_holm, "mdd": mdd},
    }


def arm(accuracy: float, without: float | None, known: int, n: int = 40) -> dict[str, Any]:
    clean = {"strict_accuracy": without, "known": known, "n": 0 if without is None else n - known}
    return {"strict_accuracy": accuracy, "n_items": n, "clean": clean}


ABOVE = pair(0.28, 0.214, 0.34)
UNSEEN = pair(0.05, -0.1, 0.2, n=40, p_holm=0.6, mdd=0.188)


@pytest.mark.parametrize(
    "numbers, sentence",
    [
        (ABOVE, "cgd is above base by 28.0 points (21.4 to 34.0, n = 200)."),
        (pair(-0.05, -0.09, -0.01), "cgd is below base by 5.0 points (1.0 to 9.0, n = 200)."),
        (
            UNSEEN,
            "cgd and base are not distinguishable at n = 40: +5.0 points (−10.0 to +20.0); "
            "differences under 19 points can't be seen.",
        ),
        (
            pair(-0.0001, -0.1, 0.0),
            "cgd and base are not distinguishable at n = 200: 0.0 points (−10.0 to 0.0); "
            "differences under 10 points can't be seen.",
        ),
        (
            pair(0.05, 0.01, 0.09, p_holm=0.07),
            "cgd is above base by 5.0 points (1.0 to 9.0, n = 200), but not after Holm's correction for all "
            "comparisons (p = 0.07).",
        ),
        (pair(0, 0, 0, n=0), "cgd and base have no prompt on which both have a verdict."),
    ],
)
def test_a_pair_in_words(numbers: dict[str, Any], sentence: str) -> None:
    assert pair_words(numbers) == sentence


def test_a_single_pair_needs_no_sentence_on_all_pairs() -> None:
    assert task_words("sums", {}, {"cgd-base": ABOVE}) == [pair_words(ABOVE)]


def test_several_pairs_begin_with_how_many_are_distinguishable() -> None:
    shaky = pair(0.05, 0.01, 0.09, n=199, p_holm=0.07)
    first, *others = task_words("sums", {}, {"a": ABOVE, "b": shaky, "c": UNSEEN | {"n": 201}})
    assert first == (
        "On sums 2 of 3 pairs of arms are distinguishable at n = 199, 1 of them also after Holm's correction for all "
        "comparisons of this run."
    )
    assert len(others) == 3


def test_a_table_that_shows_nothing_says_what_it_could_not_show() -> None:
    words = task_words("amc23", {}, {"a": UNSEEN, "b": UNSEEN | {"mdd": 0.26}})
    assert words[0] == (
        "On amc23 no two arms are distinguishable at n = 40: differences under 26 points can't be seen."
    )


def test_prompts_with_a_known_defect_are_reported_both_ways() -> None:
    assert task_words("amc23", {"base": arm(0.4, 0.405, 3), "cgd": arm(0.6, 0.649, 3)}, {}) == [
        "3 of 40 prompts of amc23 have a known defect: strict accuracy of base 40.0% with and 40.5% without, of cgd "
        "60.0% with and 64.9% without them."
    ]
    assert task_words("amc23", {"base": arm(0.4, None, 40)}, {}) == ["40 of 40 prompts of amc23 have a known defect."]
    assert task_words("amc23", {"base": arm(0.4, 0.4, 0)}, {}) == []
