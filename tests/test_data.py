"""Run with: pytest tests/test_data.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.config import Recipe
from cgd.data import choose_prompts, without_test_prompts
from cgd.errors import UserError
from cgd.records import Message, Prompt
from cgd.store import Drop
from tests.builders import make_prompts, make_recipe

SMALL = st.lists(st.sampled_from(["1 + 1?", "2 + 2?", "3 + 3?", "1 +  1?", "A?", "a?"]), max_size=5)


def write(path: Path, *texts: str) -> dict[str, Any]:
    """A file of prompts, and the options that read it."""
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    return {"path": str(path)}


def recipe(train: dict[str, Any], *tests: dict[str, Any], n: int | None = None) -> Recipe:
    tasks = [{"task": "jsonl", "name": f"test-{index}", "options": options} for index, options in enumerate(tests)]
    return make_recipe(data={"task": "jsonl", "n": n, "options": train}, evaluation={"tasks": tasks})


def texts(prompts: list[Prompt]) -> list[str]:
    return [prompt.messages[-1]["content"] for prompt in prompts]


def test_a_training_prompt_that_is_a_test_prompt_too_is_left_out_with_the_reason(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", "1 + 1?", "How many Apples?", "3 + 3?")
    first = write(tmp_path / "first.jsonl", "4 + 4?")
    second = write(tmp_path / "second.jsonl", "HOW  many\napples? ", "5 + 5?")
    chosen = choose_prompts(recipe(train, first, second))
    assert texts(chosen.training) == ["1 + 1?", "3 + 3?"]
    assert [drop.reason for drop in chosen.drops] == ["also a test prompt of test-1"]
    assert chosen.drops[0].record_id.startswith("jsonl/line-2#")
    assert {label: texts(prompts) for label, prompts in chosen.evaluation.items()} == {
        "test-0": ["4 + 4?"],
        "test-1": ["HOW  many\napples? ", "5 + 5?"],
    }
    assert list(chosen.tasks) == ["test-0", "test-1"]


def test_n_counts_prompts_before_the_overlap_is_taken_out(tmp_path: Path) -> None:
    """Of the first 2 of 3 prompts one is a test prompt: 1 is left, not 2."""
    train = write(tmp_path / "train.jsonl", "1 + 1?", "2 + 2?", "3 + 3?")
    assert texts(choose_prompts(recipe(train, write(tmp_path / "test.jsonl", "1 + 1?"), n=2)).training) == ["2 + 2?"]


def test_training_on_nothing_but_test_prompts_is_refused(tmp_path: Path) -> None:
    options = write(tmp_path / "rows.jsonl", "1 + 1?", "2 + 2?")
    with pytest.raises(UserError, match="data.task 'jsonl': every one of 2 prompts is also a test prompt"):
        choose_prompts(recipe(options, options))


def test_an_empty_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no rows"):
        choose_prompts(recipe(write(tmp_path / "rows.jsonl")))


def test_a_recipe_without_evaluation_keeps_every_prompt(tmp_path: Path) -> None:
    chosen = choose_prompts(recipe(write(tmp_path / "rows.jsonl", "1 + 1?", "2 + 2?")))
    assert (len(chosen.training), chosen.evaluation, chosen.tasks, chosen.drops) == (2, {}, {}, [])


def test_the_seed_of_the_recipe_chooses_the_prompts() -> None:
    def chosen(seed: int) -> list[str]:
        return texts(choose_prompts(make_recipe(seed=seed)).training)

    assert chosen(0) == chosen(0)
    assert chosen(0) != chosen(1)


def test_splits_of_a_made_up_task_do_not_overlap() -> None:
    tasks = [{"task": "arithmetic", "n": 100}]
    chosen = choose_prompts(make_recipe(data={"task": "arithmetic", "n": 200}, evaluation={"tasks": tasks}))
    assert (len(chosen.training), chosen.drops) == (200, [])


def test_chats_are_compared_whole() -> None:
    """The same last question after another first one is another prompt."""

    def chat(first: str) -> Prompt:
        messages: list[Message] = [{"role": "system", "content": first}, {"role": "user", "content": "1 + 1?"}]
        return Prompt.create("chat", messages)

    kept, drops = without_test_prompts([chat("Be brief."), chat("BE  brief.")], {"sums": [chat("Be long.")]})
    assert (len(kept), drops) == (2, [])
    kept, drops = without_test_prompts([chat("Be brief.")], {"sums": [chat("BE  brief.")]})
    assert (kept, len(drops)) == ([], 1)


@settings(deadline=None)
@given(SMALL, SMALL)
def test_every_training_prompt_is_either_kept_or_dropped_and_none_kept_is_a_test_prompt(
    train: list[str], test: list[str]
) -> None:
    training = make_prompts(train, "train")
    kept, drops = without_test_prompts(training, {"sums": make_prompts(test, "test")})
    kept_ids, dropped_ids = {prompt.id for prompt in kept}, {drop.record_id for drop in drops}
    assert kept_ids | dropped_ids == {prompt.id for prompt in training}
    assert not kept_ids & dropped_ids
    assert kept == [prompt for prompt in training if prompt in kept]
    seen = {" ".join(text.lower().split()) for text in test}
    assert not [text for text in texts(kept) if " ".join(text.lower().split()) in seen]
    assert all(" ".join(text.lower().split()) in seen for text in train) == (not kept)
    assert {drop.reason for drop in drops} <= {"also a test prompt of sums"}


def test_a_drop_names_prompt_and_reason() -> None:
    (prompt,) = make_prompts(["1 + 1?"], "train")
    _, drops = without_test_prompts([prompt], {"sums": make_prompts(["1 + 1?"], "test")})
    assert drops == [Drop(prompt.id, "also a test prompt of sums")]


# Held out


def test_what_is_held_out_comes_after_the_training_prompts_and_never_among_them(tmp_path: Path) -> None:
    """Of 6 lines 3 are to be trained on and 2 held out; one of the 3 is a held-out prompt in other letters."""
    train = write(tmp_path / "train.jsonl", "a?", "B?", "c?", "b?", "d?", "e?")
    held = {"select": "held_out", "keep_checkpoints": 2, "held_out": 2}
    chosen = choose_prompts(make_recipe(data={"task": "jsonl", "n": 3, "options": train}, training=held))
    assert (texts(chosen.training), texts(chosen.held_out)) == (["a?", "c?"], ["b?", "d?"])
    assert [drop.reason for drop in chosen.drops] == ["also a test prompt of checkpoint selection"]


def test_holding_out_more_than_there_is_is_refused(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", "a?", "b?", "c?")
    held = {"select": "held_out", "keep_checkpoints": 2, "held_out": 2}
    with pytest.raises(UserError, match="ask for more prompts than the 3 there are"):
        choose_prompts(make_recipe(data={"task": "jsonl", "n": 2, "options": train}, training=held))
