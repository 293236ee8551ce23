from __future__ import annotations

import json

from cgd.records import Prompt, Record
from cgd.report.examples import before_and_after, prompt_text, training_records
from cgd.store import Drop, Store
from tests.builders import (
    FAILED,
    RIGHT,
    UNSCORED,
    WRONG,
    WRONG_FORMAT,
    add_comparison,
    add_predictions,
    add_records,
    make_prompts,
)


def test_training_records_are_spread_over_the_run(store: Store) -> None:
    """Three of six: positions 0, 2 and 4."""
    add_comparison(store)
    assert [record.draft for record in training_records(store, 3)] == ["draft 0", "draft 2", "draft 4"]
    assert len(training_records(store, 99)) == 6
    assert training_records(store, 0) == []


def test_incomplete_records_are_not_shown(store: Store) -> None:
    add_records(store, make_prompts(["a", "b", "c"]), [("d", "c", None), ("d", None), ("d", "c", "r")])
    assert [record.prompt for record in training_records(store, 5)] == ["c"]


def test_records_left_out_of_training_are_not_shown(store: Store) -> None:
    add_comparison(store)
    key, prompt = store.query("SELECT refinement_key, prompt_id FROM records")[0]
    store.set_drops("dataset", [Drop(Record(Prompt(prompt, ()), key=key).id, "leak")])
    assert [record.draft for record in training_records(store, 9)] == [f"draft {index}" for index in range(1, 6)]


def test_predictions_show_every_kind_in_turn(store: Store) -> None:
    """Items: broken, right twice, six fixed, wrong twice, failed; five are wanted, so one of each kind."""
    add_comparison(store)
    kinds = [pair.kind for pair in before_and_after(store, "sums", "cgd", 5)]
    assert kinds == ["fixed", "broken", "right before and after", "wrong before and after", "without a verdict"]
    kinds = [pair.kind for pair in before_and_after(store, "sums", "cgd", 8)]
    assert kinds.count("fixed") == 4


def test_verdicts_are_put_into_words(store: Store) -> None:
    items = make_prompts(["a", "b", "c", "d"])
    add_predictions(store, "sums", "base", items, [WRONG_FORMAT, UNSCORED, FAILED, WRONG._replace(truncated=True)])
    add_predictions(store, "sums", "cgd", items, [RIGHT] * 4)
    verdicts = {pair.prompt: pair.before.verdict for pair in before_and_after(store, "sums", "cgd", 4)}
    assert verdicts == {
        "a": "right answer, wrong format (read as 4)",
        "b": "unscored: no gold answer",
        "c": "no reply: Timeout",
        "d": "wrong (read as 4), cut off",
    }


def test_a_prompt_of_several_turns_names_the_roles() -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
    assert prompt_text(json.dumps(turns)) == "system: Be brief.\n\nuser: 2 + 2?"
    assert prompt_text(json.dumps(turns[1:])) == "2 + 2?"
