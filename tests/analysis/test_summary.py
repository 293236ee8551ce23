from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.analysis.summary import summarise
from cgd.records import Prompt
from cgd.store import Drop, Store
from tests.builders import (
    FAILED,
    RIGHT,
    UNSCORED,
    WRONG,
    WRONG_FORMAT,
    Verdict,
    add_predictions,
    make_prompts,
)


@pytest.fixture
def prompts() -> list[Prompt]:
    return make_prompts(["1 + 3?", "2 + 2?", "3 + 1?", "4 + 0?"])


def test_one_seed_gives_the_hand_worked_numbers(store: Store, prompts: list[Prompt]) -> None:
    """Right on 1 of 4 before, on 3 of 4 after: two items fixed, none broken, difference ½; (3 · 10 + 50) / 4 = 20."""
    add_predictions(store, "sums", "base", prompts, [RIGHT, WRONG, WRONG_FORMAT, WRONG])
    add_predictions(store, "sums", "cgd", prompts, [RIGHT, RIGHT, RIGHT, WRONG._replace(tokens=50)])
    summary = summarise(store, "sums", ["base", "cgd"])
    base, cgd = summary["arms"]["base"], summary["arms"]["cgd"]
    assert (base["strict_accuracy"], base["flexible_accuracy"], base["format_rate"]) == (0.25, 0.5, 0.75)
    assert (cgd["strict_accuracy"], cgd["n"], cgd["seeds"], cgd["mean_tokens"]) == (0.75, 4, 1, 20)
    assert base["ci95"] == pytest.approx([0.0456, 0.6994], abs=1e-4)
    pair = summary["paired"]["cgd-base"]
    assert (pair["difference"], pair["n"]) == (0.5, 4)
    assert pair["p_mcnemar"] == pytest.approx(0.5), "two discordant items, both the same way: 2 · ¼"
    assert pair["ci95"] == pytest.approx([-0.2631, 0.9297], abs=1e-4), "p = 3/6, q = 1/6: ⅓ ± 1.96 √(5/9 / 6)"


def test_the_top_level_repeats_the_first_task(store: Store, prompts: list[Prompt]) -> None:
    for task in ("words", "sums", "letters"):
        add_predictions(store, task, "base", prompts, [RIGHT] * 4)
    summary = summarise(store, "sums", ["base", "cgd"])
    assert list(summary["tasks"]) == ["sums", "letters", "words"]
    assert summary["task"] == "sums"
    assert {key: summary[key] for key in ("arms", "paired")} == {
        key: summary["tasks"]["sums"][key] for key in ("arms", "paired")
    }
    assert list(summary["arms"]) == ["base"], "an arm without predictions is not there"


def test_several_seeds_are_averaged_within_each_item_first(store: Store, prompts: list[Prompt]) -> None:
    """Items of cgd: (1 + 1)/2, (1 + 0)/2, unscored once → 1, (0 + 0)/2: mean 2.5/4; base 1, 0, 0, 0: + .375."""
    add_predictions(store, "sums", "base", prompts, [RIGHT, WRONG, WRONG, WRONG])
    add_predictions(store, "sums", "cgd", prompts, [RIGHT, RIGHT, UNSCORED, WRONG], seed=0)
    add_predictions(store, "sums", "cgd", prompts, [RIGHT, WRONG, RIGHT, WRONG], seed=1)
    summary = summarise(store, "sums", ["base", "cgd"])
    cgd, pair = summary["arms"]["cgd"], summary["paired"]["cgd-base"]
    assert (cgd["strict_accuracy"], cgd["n"], cgd["seeds"], cgd["unscored"]) == (0.625, 4, 2, 1)
    assert (pair["difference"], pair["n"], pair["p_mcnemar"]) == (0.375, 4, None)


def test_failed_and_unscored_predictions_are_counted_and_not_taken_for_wrong(
    store: Store, prompts: list[Prompt]
) -> None:
    """The base has verdicts on items 0, 1, 2; cgd on 0, 3: one item is paired."""
    add_predictions(store, "sums", "base", prompts, [WRONG, RIGHT, WRONG, FAILED])
    add_predictions(store, "sums", "cgd", prompts, [RIGHT, FAILED, UNSCORED, WRONG])
    summary = summarise(store, "sums", ["base", "cgd"])
    base, cgd, pair = summary["arms"]["base"], summary["arms"]["cgd"], summary["paired"]["cgd-base"]
    assert base["strict_accuracy"] == pytest.approx(1 / 3)
    assert (base["n"], base["unscored"], base["failed"]) == (3, 0, 1)
    assert (cgd["strict_accuracy"], cgd["n"], cgd["unscored"], cgd["failed"]) == (0.5, 2, 1, 1)
    assert cgd["mean_tokens"] == 10, "a failed prediction has no length"
    assert (pair["difference"], pair["n"]) == (1.0, 1)


def test_a_prediction_without_a_reply_counts_as_failed(store: Store, prompts: list[Prompt]) -> None:
    add_predictions(store, "sums", "base", prompts, [RIGHT] * 4)
    with store.transaction() as db:
        db.execute("UPDATE current SET key = 'not there' WHERE position = 2")
    base = summarise(store, "sums", ["base"])["arms"]["base"]
    assert (base["n"], base["failed"], base["unscored"]) == (3, 1, 0)


def test_an_arm_without_any_verdict_has_no_accuracy(store: Store, prompts: list[Prompt]) -> None:
    add_predictions(store, "sums", "base", prompts, [UNSCORED] * 4)
    add_predictions(store, "sums", "cgd", prompts, [FAILED] * 4)
    summary = summarise(store, "sums", ["base", "cgd"])
    for arm in summary["arms"].values():
        assert (arm["strict_accuracy"], arm["ci95"], arm["n"]) == (None, None, 0)
    pair = summary["paired"]["cgd-base"]
    assert (pair["n"], pair["difference"], pair["ci95"], pair["p"], pair["p_holm"], pair["mdd"]) == (0, *[None] * 5)


def test_every_arm_is_compared_with_each_earlier_one(store: Store, prompts: list[Prompt]) -> None:
    for arm in ("cgd", "base", "sft"):
        add_predictions(store, "sums", arm, prompts, [RIGHT] * 4)
    summary = summarise(store, "sums", ["base", "sft", "cgd"])
    assert list(summary["arms"]) == ["base", "sft", "cgd"]
    assert list(summary["paired"]) == ["sft-base", "cgd-base", "cgd-sft"]


def test_the_pairs_of_all_tasks_are_one_family_of_comparisons(store: Store, prompts: list[Prompt]) -> None:
    """Words: 8 items all fixed, p = 2 / 2⁸ = .0078, twice that. Sums: nothing fixed, p = 1. Letters: no items."""
    items = make_prompts([str(index) for index in range(8)])
    add_predictions(store, "words", "base", items, [WRONG] * 8)
    add_predictions(store, "words", "cgd", items, [RIGHT] * 8)
    add_predictions(store, "sums", "base", prompts, [RIGHT] * 4)
    add_predictions(store, "sums", "cgd", prompts, [RIGHT] * 4)
    add_predictions(store, "letters", "base", prompts, [RIGHT] * 4)
    add_predictions(store, "letters", "cgd", prompts, [FAILED] * 4)
    tasks = summarise(store, "sums", ["base", "cgd"])["tasks"]
    pairs = {label: numbers["paired"]["cgd-base"] for label, numbers in tasks.items()}
    assert {label: pair["p"] for label, pair in pairs.items()} == {"sums": 1.0, "letters": None, "words": 2 / 2**8}
    assert {label: pair["p_holm"] for label, pair in pairs.items()} == {"sums": 1.0, "letters": None, "words": 4 / 2**8}
    assert tasks["words"]["words"][0].startswith("cgd is above base by 100.0 points")
    assert tasks["letters"]["words"] == ["cgd and base have no prompt on which both have a verdict."]


def test_a_run_without_evaluation_has_an_empty_account(store: Store) -> None:
    assert summarise(store, "", ["base", "cgd"]) == {
        **{"task": None, "arms": {}, "paired": {}, "tasks": {}},
        **{
            "generation": {},
            "spend": {"stages": {}, "kept_rows": 0, "per_kept_row": None},
            "drops": [],
            "training": [],
        },
    }


def test_drops_are_grouped_by_stage_and_reason(store: Store) -> None:
    store.set_drops("dataset", [Drop("a", "leak"), Drop("b", "leak"), Drop("c", "empty")])
    store.set_drops("training", [Drop("d", "too long")])
    assert summarise(store, "", [])["drops"] == [
        {"stage": "dataset", "reason": "leak", "n": 2, "first": ["a", "b"]},
        {"stage": "dataset", "reason": "empty", "n": 1, "first": ["c"]},
        {"stage": "training", "reason": "too long", "n": 1, "first": ["d"]},
    ]


def test_training_accounts_leave_their_log_in_the_store(store: Store) -> None:
    log = [{"step": 1, "loss": 2.0}]
    store.set_checkpoints({("sft", 0): {"rows": 8, "log": log}, ("cgd", 1): {"steps": 3, "method": "lora"}})
    assert summarise(store, "", [])["training"] == [
        {"arm": "sft", "seed": 0, "rows": 8},
        {"arm": "cgd", "seed": 1, "steps": 3, "method": "lora"},
    ]


outcomes = st.lists(st.sampled_from([RIGHT, WRONG, WRONG_FORMAT, UNSCORED, FAILED]), min_size=6, max_size=6)


@settings(max_examples=15, deadline=None)
@given(base=outcomes, cgd=outcomes)
def test_whatever_happened_the_summary_is_json_and_its_intervals_hold_their_estimates(
    tmp_path_factory: pytest.TempPathFactory, base: list[Verdict], cgd: list[Verdict]
) -> None:
    folder: Path = tmp_path_factory.mktemp("run")
    store = Store(folder / "run.sqlite")
    prompts = make_prompts([str(index) for index in range(6)])
    add_predictions(store, "sums", "base", prompts, base)
    add_predictions(store, "sums", "cgd", prompts, cgd)
    summary = summarise(store, "sums", ["base", "cgd"])
    store.close()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    for arm in summary["arms"].values():
        assert arm["n"] + arm["unscored"] + arm["failed"] == 6
        if arm["n"]:
            assert arm["ci95"][0] <= arm["strict_accuracy"] <= arm["ci95"][1]
    pair = summary["paired"]["cgd-base"]
    if pair["n"]:
        assert pair["ci95"][0] <= pair["difference"] <= pair["ci95"][1]
