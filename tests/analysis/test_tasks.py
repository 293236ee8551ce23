from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from cgd.analysis.summary import summarise
from cgd.records import Grade, Prompt, Record
from cgd.store import Store
from tests.builders import FAILED, RIGHT, UNSCORED, WRONG, Verdict, add_predictions, answer, ask, make_prompts, user

FIVE, SIX, NONE = (WRONG._replace(extracted=extracted) for extracted in ("5", "6", None))


def add_samples(store: Store, arm: str, verdicts: Sequence[Sequence[Verdict]], seed: int = 0) -> None:
    """A sample of a prompt for each of its verdicts."""
    prompts = make_prompts([str(index) for index in range(len(verdicts))])
    store.add_prompts(prompts)
    asked = [
        (ask("prediction", Record(prompt), f"{arm} {seed}", sample), verdict)
        for prompt, samples in zip(prompts, verdicts, strict=True)
        for sample, verdict in enumerate(samples)
    ]
    store.set_current("prediction", [request for request, _ in asked], task="sums", arm=arm, seed=seed)
    for request, verdict in asked:
        answer(store, request, None if verdict.failed else verdict.text)
        if not verdict.failed:
            grade = Grade(verdict.strict, verdict.flexible, verdict.format, verdict.extracted, verdict.reason)
            store.add_grades({request.key: grade}, "grader 1")


def arms_of(store: Store) -> dict[str, Any]:
    summary = summarise(store, "sums", ["base", "cgd"])
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    arms: dict[str, Any] = summary["arms"]
    return arms


def by_k(rows: Sequence[dict[str, Any]]) -> dict[int, float]:
    return {row["k"]: row["rate"] for row in rows}


def test_one_sample_has_nothing_to_agree_with(store: Store) -> None:
    add_samples(store, "base", [[RIGHT], [WRONG]])
    base = arms_of(store)["base"]
    assert base["samples"] == 1
    assert [base[name] for name in ("pass_at_k", "maj_at_k", "consistency", "calibration")] == [None] * 4


def test_four_samples_give_the_hand_worked_numbers(store: Store) -> None:
    """Item 1: 4 4 5 6, right twice; item 2: 5 5 5 and none, never right.

    Mean of n: (½ + 0) / 2. Pass@2: 1 − C(2, 2) / C(4, 2) = 5/6, and 0. Maj@4: 1 and 0. Pairs that agree: 1/6 and 3/6.
    """
    add_samples(store, "base", [[RIGHT, RIGHT, FIVE, SIX], [FIVE, FIVE, FIVE, NONE]])
    base = arms_of(store)["base"]
    assert (base["strict_accuracy"], base["n"], base["n_items"], base["samples"]) == (0.25, 2, 2, 4)
    assert by_k(base["pass_at_k"]) == pytest.approx({1: 1 / 4, 2: 5 / 12, 4: 1 / 2})
    assert by_k(base["maj_at_k"]) == pytest.approx({1: 1 / 4, 2: 1 / 4, 4: 1 / 2})
    assert (base["consistency"]["rate"], base["consistency"]["n"]) == (pytest.approx(1 / 3), 2)
    assert (base["calibration"]["n"], base["calibration"]["samples"]) == (2, 8)


def test_samples_without_a_verdict_are_left_out_and_counted(store: Store) -> None:
    """Item 1 keeps a right and a wrong sample, item 2 none, item 3 a right one: Pass@1 ¾ of 2 items, Pass@2 1 of 1."""
    add_samples(store, "base", [[RIGHT, FIVE, FAILED], [UNSCORED, FAILED, FAILED], [RIGHT, UNSCORED, UNSCORED]])
    base = arms_of(store)["base"]
    assert (base["strict_accuracy"], base["n"], base["n_items"]) == (0.75, 2, 3)
    assert (base["unscored"], base["failed"]) == (3, 3)
    ((reason, found),) = base["unscored_reasons"].items()
    assert (reason, found["n"], len(found["first"])) == ("no gold answer", 3, 2)
    assert [(row["k"], row["rate"], row["n"]) for row in base["pass_at_k"]] == [(1, 0.75, 2), (2, 1.0, 1), (3, None, 0)]
    assert base["consistency"]["n"] == 1


def test_seeds_weigh_the_same_whatever_their_samples(store: Store) -> None:
    """Seed 0 has one verdict, right, seed 1 two, both wrong: the item's value is ½, not ⅓."""
    add_samples(store, "cgd", [[RIGHT, FAILED]], seed=0)
    add_samples(store, "cgd", [[FIVE, FIVE]], seed=1)
    cgd = arms_of(store)["cgd"]
    assert (cgd["strict_accuracy"], cgd["seed_accuracies"]) == (0.5, [1.0, 0.0])
    assert by_k(cgd["pass_at_k"]) == {1: 0.5, 2: 0.0}, "two samples: seed 1 alone"


def test_the_spread_over_seeds_is_the_hand_worked_one(store: Store) -> None:
    """Accuracies ¼, ½, ¾: s = ¼, t(2) · ¼ / √3 = .621: all of [0, 1]. One seed has no spread."""
    items = make_prompts([str(index) for index in range(4)])
    add_predictions(store, "sums", "base", items, [RIGHT, WRONG, WRONG, WRONG])
    for seed in range(3):
        add_predictions(store, "sums", "cgd", items, [RIGHT] * (seed + 1) + [WRONG] * (3 - seed), seed=seed)
    arms = arms_of(store)
    assert [arms["base"][name] for name in ("seed_accuracies", "seed_sd", "seeds_ci95")] == [[0.25], None, None]
    assert [arms["cgd"][name] for name in ("seed_accuracies", "seed_sd", "seeds_ci95")] == [
        [0.25, 0.5, 0.75],
        0.25,
        [0.0, 1.0],
    ]


def test_items_with_a_known_defect_are_kept_and_left_out(store: Store) -> None:
    """Right on 2 of 4; one of the right ones can't be answered as stated: 1 of 3 without it."""
    meta = [{}, {"known_issue": "a number is missing"}, {}, {}]
    items = [Prompt.create(f"item-{index}", user(str(index)), answer="4", meta=one) for index, one in enumerate(meta)]
    add_predictions(store, "sums", "base", items, [RIGHT, RIGHT, WRONG, WRONG])
    base = arms_of(store)["base"]
    assert (base["strict_accuracy"], base["n"]) == (0.5, 4)
    clean = base["clean"]
    assert (clean["known"], clean["strict_accuracy"], clean["n"]) == (1, pytest.approx(1 / 3), 3)


def test_one_answer_a_prompt_gets_the_exact_test_and_several_the_bootstrap(store: Store) -> None:
    """Ten items, eight fixed and none broken: p = 2 / 2⁸, and 2.8016 √(.8 / 10) = .792 against 7.849 / 10 = .785."""
    items = make_prompts([str(index) for index in range(10)])
    add_predictions(store, "sums", "base", items, [WRONG] * 8 + [RIGHT] * 2)
    add_predictions(store, "sums", "cgd", items, [RIGHT] * 10)
    exact = summarise(store, "sums", ["base", "cgd"])["paired"]["cgd-base"]
    assert (exact["a"], exact["b"]) == ("cgd", "base")
    assert exact["p"] == exact["p_mcnemar"] == exact["p_holm"] == 2 / 2**8
    assert exact["mdd"] == pytest.approx(0.792, abs=1e-3)
    add_predictions(store, "sums", "cgd", items, [RIGHT] * 10, seed=1)
    over_seeds = summarise(store, "sums", ["base", "cgd"])["paired"]["cgd-base"]
    assert over_seeds["p_mcnemar"] is None
    assert 0 < over_seeds["p"] < 0.02
    low, high = over_seeds["ci95"]
    assert low < over_seeds["difference"] == 0.8 < high
    assert over_seeds["mdd"] == pytest.approx((high - low) / 2 * 1.4294, abs=1e-4)
