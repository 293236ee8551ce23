"""Run with: pytest tests/analysis/test_contamination.py."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cgd.analysis.contamination import (
    Contaminated,
    contamination,
    find_contaminated,
    removals,
    summarise,
)
from cgd.analysis.statistics import wilson_interval
from cgd.store import Drop, Store
from tests.builders import RIGHT, add_predictions, add_records, make_prompts

DATA = Path(os.environ.get("CGD_DATA", Path(__file__).parents[3] / "shared" / "data"))
QUESTION = "Ann has 3 red pens and 4 blue pens and Ben has 2 pens so how many pens have they"
OTHER = "A train leaves at noon and goes 60 miles an hour for 3 hours before it stops to rest"
TESTS = {"sums": {"sums-0": QUESTION, "sums-1": OTHER}, "words": {"words-0": "Spell cat."}}


def row(prompt_id: str, **texts: str | None) -> dict[str, Any]:
    return {"prompt_id": prompt_id, "prompt": "something else", "critique": None, **texts}


def prompts_of(name: str) -> dict[str, str]:
    path = DATA / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not there; CGD_DATA names the folder that holds it")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["id"]: row["prompt"] for row in rows}


def overlaps(training: str, tests: str) -> tuple[list[Contaminated], dict[str, Any]]:
    rows = [{"prompt_id": name, "prompt": text} for name, text in prompts_of(training).items()]
    split = {tests: prompts_of(tests)}
    found = find_contaminated(rows, split)
    return found, summarise(found, split)[tests]["prompt"]


def test_every_field_is_compared_with_every_test_prompt() -> None:
    rows = [
        row("train-0", prompt="SPELL CAT"),
        row("train-1", critique=f"The draft forgot: {QUESTION}"),
        row("train-2", refinement="nothing of it"),
    ]
    assert find_contaminated(rows, TESTS) == [
        Contaminated("train-0", "prompt", "words", "words-0", 1.0, True),
        Contaminated("train-1", "critique", "sums", "sums-0", 1.0, False),
    ]


def test_rows_of_one_prompt_are_one_entry_with_the_largest_share() -> None:
    """The question has 20 words, 8 n-grams; fourteen of its words are two of them."""
    part = " ".join(QUESTION.split()[:14])
    rows = [row("train-0", refinement=part), row("train-0", refinement=QUESTION), row("train-0", refinement=part)]
    assert find_contaminated(rows[:1], TESTS) == [Contaminated("train-0", "refinement", "sums", "sums-0", 2 / 8, False)]
    assert find_contaminated(rows, TESTS) == [Contaminated("train-0", "refinement", "sums", "sums-0", 1.0, True)]


def test_the_account_counts_test_prompts() -> None:
    """Two training prompts hold the same one of two test prompts, one of them word for word."""
    rows = [row("train-0", prompt=QUESTION), row("train-1", prompt=" ".join(QUESTION.split()[:14]))]
    account = summarise(find_contaminated(rows, TESTS), TESTS)
    assert list(account) == ["sums", "words"]
    assert account["sums"]["prompt"] == {
        **{"n_tests": 2, "n_overlaps": 1, "n_most": 1, "n_equal": 1, "share": 0.5},
        "ci95": list(wilson_interval(1, 2)),
        "n_training": 2,
        "first": [
            {
                **{"training_id": "train-0", "field": "prompt", "task": "sums", "test_id": "sums-0"},
                **{"share": 1.0, "equal": True},
            },
            {
                **{"training_id": "train-1", "field": "prompt", "task": "sums", "test_id": "sums-0"},
                **{"share": 2 / 8, "equal": False},
            },
        ],
    }
    assert account["words"]["critique"]["n_overlaps"] == 0
    assert json.loads(json.dumps(account, allow_nan=False)) == account


def test_ten_pairs_are_listed() -> None:
    found = find_contaminated([row(f"train-{index}", prompt=QUESTION) for index in range(12)], TESTS)
    assert len(summarise(found, TESTS)["sums"]["prompt"]["first"]) == 10


def test_a_contaminated_training_prompt_is_removed_once_with_its_reason() -> None:
    rows = [
        row("train-0", prompt="Spell cat", critique=QUESTION),
        row("train-1", refinement=f"so {OTHER}"),
        row("train-2"),
    ]
    assert removals(find_contaminated(rows, TESTS)) == [
        Drop("train-0", "its prompt equals test prompt words-0 of words"),
        Drop("train-1", "its refinement shares 13 words in a row with test prompt sums-1 of sums"),
    ]


def test_a_runs_records_are_compared_with_the_prompts_it_was_tested_on(store: Store) -> None:
    training = make_prompts(["What is 1 + 1?", "What is 2 + 2?"], "train")
    add_records(store, training, [("d", f"You forgot that {QUESTION}", "2"), ("d", "Right.", "4")])
    add_predictions(store, "sums", "base", make_prompts([QUESTION, "what is 2 + 2"], "test"), [RIGHT] * 2)
    account = contamination(store, training)
    assert [account["sums"][field]["n_overlaps"] for field in ("prompt", "critique", "refinement")] == [1, 1, 0]
    assert account["sums"]["prompt"]["first"][0]["training_id"] == training[1].id


def test_a_run_without_records_or_evaluation_has_an_empty_account(store: Store) -> None:
    assert contamination(store, []) == {}


# ── real files: the overlaps that their README states ──


def test_the_prompts_that_gsm8k_shares_with_the_critiques_are_found() -> None:
    """8 of the training split, 44 of the test split (one of them in two critiques), word for word: no tolerance."""
    found, account = overlaps("gsm8k_train", "critiques_permissive")
    assert (account["n_equal"], account["n_overlaps"], len(found)) == (8, 8, 8)
    found, account = overlaps("critiques_permissive", "gsm8k_test")
    assert (account["n_equal"], account["n_overlaps"], len(found)) == (44, 44, 45)


def test_the_questions_that_the_mmlu_samples_share_are_found() -> None:
    """43 stated, and 43 word for word. Shorter shared parts come on top: at most a third more."""
    _, account = overlaps("mmlu_sample", "mmlu_pro_sample")
    assert account["n_equal"] == 43
    assert 43 <= account["n_most"] <= account["n_overlaps"] <= 58
    assert overlaps("math500", "mmlu_sample")[1]["n_overlaps"] == 1


def test_a_problem_with_other_numbers_is_found_by_its_words() -> None:
    """One test problem is stated to repeat a training problem by half of its n-grams or more."""
    found, account = overlaps("gsm8k_train", "gsm8k_test")
    assert (account["n_most"], account["n_equal"]) == (1, 0)
    assert account["n_overlaps"] <= 5
    assert ("gsm8k-train-1314", "gsm8k-test-0602") in [(one.training_id, one.test_id) for one in found]


@pytest.mark.parametrize("tests", ["amc23", "aime24", "minerva_math"])
@pytest.mark.parametrize("training", ["gsm8k_train", "math_train_prompts"])
def test_small_benchmarks_are_not_in_the_training_files(training: str, tests: str) -> None:
    """None by half of its n-grams; a phrase that competitions share is found in at most four."""
    _, account = overlaps(training, tests)
    assert account["n_most"] == 0
    assert account["n_overlaps"] <= 4
