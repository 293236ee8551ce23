"""Run with: pytest tests/test_benchmark_rows.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgd.benchmark_rows import (
    BOXED_MATH,
    LETTERS,
    Benchmark,
    BenchmarkOptions,
    Hub,
    Row,
    choice_prompt,
    fingerprint,
    user_prompt,
    whole_number,
)
from cgd.errors import UserError
from cgd.records import Prompt

CHOICES: dict[str, Any] = {"question": "Which?", "choices": ["1", "2", "3"], "answer": "B", "subject": "maths"}
BOTH = Hub("someone/something", {"train": "training", "test": "test"}, "english")
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip)


def row(**fields: Any) -> Row:
    return Row("own/1", "rows.jsonl:1", fields)


def benchmark(path: Path | None, hub: Hub = BOTH) -> Benchmark:
    def to_prompt(row: Row) -> Prompt:
        return user_prompt(row, row.text("prompt", "question"), "End well.", row.text("answer"))

    options = BenchmarkOptions(path=str(path) if path else None)
    return Benchmark("own", options, hub, to_prompt, lambda prompt: BOXED_MATH)


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# Loading


def test_rows_become_prompts_in_their_order_named_by_their_id_or_their_place(tmp_path: Path) -> None:
    path = write(
        tmp_path / "rows.jsonl",
        {"id": "a", "prompt": "1 + 1?", "answer": 2},
        {"question": "2 + 2?", "answer": "4"},
        {"question_id": 7, "question": "3 + 3?", "answer": "6"},
    )
    prompts = benchmark(path).load("test", None, 0)
    assert [prompt.id.partition("#")[0] for prompt in prompts] == ["own/a", "own/1", "own/7"]
    assert [prompt.messages[0]["content"] for prompt in prompts] == [
        "1 + 1?\n\nEnd well.",
        "2 + 2?\n\nEnd well.",
        "3 + 3?\n\nEnd well.",
    ]
    assert [prompt.source for prompt in prompts] == [f"{path}:{line}" for line in (1, 2, 3)]
    assert benchmark(path).load("test", 2, 9) == prompts[:2]


def test_the_split_and_an_environment_variable_stand_in_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_ROWS", str(tmp_path))
    for split in ("train", "test"):
        write(tmp_path / f"{split}.jsonl", {"prompt": f"{split}?", "answer": "1"})
    own = benchmark(Path("$MY_ROWS/{split}.jsonl"))
    assert own.load("train", None, 0)[0].messages[0]["content"] == "train?\n\nEnd well."
    assert own.load("test", None, 0)[0].messages[0]["content"] == "test?\n\nEnd well."


def test_a_benchmark_for_testing_only_refuses_the_training_split(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", {"prompt": "?", "answer": "1"})
    with pytest.raises(UserError, match="task 'own' is for testing only; got split 'train', allowed: test"):
        benchmark(path, Hub("someone/something")).load("train", None, 0)


def test_a_row_that_is_there_twice_is_named_with_the_first(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", *[{"id": "a", "prompt": "?", "answer": "1"}] * 2)
    with pytest.raises(UserError, match=r"rows.jsonl:2: the row of .*rows.jsonl:1 again; remove one of them"):
        benchmark(path).load("test", None, 0)


def test_the_hub_is_asked_for_its_own_names_where_there_is_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load_dataset(*names: str, split: str) -> list[dict[str, str]]:
        asked.append((*names, split))
        return [{"question": "?", "answer": "1"}]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    (prompt,) = benchmark(None).load("train", None, 0)
    assert asked == [("someone/something", "english", "training")]
    assert prompt.source == "someone/something english/training row 0"


def test_a_hub_that_can_not_be_asked_is_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=None))
    with pytest.raises(UserError, match="can't load someone/something from the Hugging Face hub.*give options.path"):
        benchmark(None).load("test", None, 0)


def test_without_the_library_that_asks_the_hub_both_ways_out_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        UserError, match=r"not from options.path, needs the package datasets: pip install 'cgd\[train\]'"
    ):
        benchmark(None).load("test", None, 0)


@given(first=st.tuples(TEXT, TEXT), second=st.tuples(TEXT, TEXT))
def test_an_id_is_bound_to_what_the_prompt_holds(first: tuple[str, str], second: tuple[str, str]) -> None:
    ids = [user_prompt(row(), question, "End well.", answer).id for question, answer in (first, second)]
    assert (ids[0] == ids[1]) == (first == second)


# Fields


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "field 'prompt' must be a non-empty text; got None"),
        ({"question": " "}, "field 'question' must be a non-empty text; got ' '"),
        ({"prompt": ["?"], "question": "?"}, "field 'prompt' must be a non-empty text; got"),
    ],
)
def test_a_field_that_is_absent_or_empty_is_named_with_its_line(fields: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        row(**fields).text("prompt", "question")
    assert str(caught.value).startswith(f"rows.jsonl:1: {expected}")


def test_fields_that_say_nothing_are_not_kept() -> None:
    assert row(a=1, b=None, c="", d=0, e="x").given("a", "b", "c", "d", "e", "f") == {"a": 1, "d": 0, "e": "x"}


def test_a_defect_is_the_rows_own_word_or_else_the_lists() -> None:
    listed = {fingerprint("How many?"): "listed"}
    assert row(known_issue="own").known_issue("How many?", listed) == {"known_issue": "own"}
    assert row().known_issue("How  many?\n", listed) == {"known_issue": "listed"}
    assert row().known_issue("How few?", listed) == {}


@pytest.mark.parametrize(
    ("text", "whole"),
    [("25", "25"), ("025", "25"), ("25.0", "25"), ("000", "0"), ("0", "0"), ("100", "100"), ("-1", "-1")],
)
def test_a_whole_number_has_neither_leading_zeros_nor_decimals(text: str, whole: str) -> None:
    assert whole_number(row(), text) == whole


@pytest.mark.parametrize("text", ["", "--1", "2.5", "1e3", "two", "1,000"])
def test_anything_else_is_no_whole_number(text: str) -> None:
    with pytest.raises(UserError, match="rows.jsonl:1: the answer must be a whole number"):
        whole_number(row(), text)


# Choices


def test_a_choice_is_a_letter_or_a_place_from_0() -> None:
    assert choice_prompt(row(**CHOICES)) == choice_prompt(row(**CHOICES | {"answer": 1}))
    assert choice_prompt(row(**CHOICES)).answer == "B"


@given(st.integers(2, 10).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, count - 1))))
def test_every_choice_has_a_line_of_its_own_and_the_answer_is_the_letter_of_its_line(place: tuple[int, int]) -> None:
    count, right = place
    prompt = choice_prompt(row(**CHOICES | {"choices": [f"choice {i}" for i in range(count)], "answer": right}))
    lines = prompt.messages[0]["content"].splitlines()
    assert lines[2 : 2 + count] == [f"{LETTERS[i]}. choice {i}" for i in range(count)]
    assert f"{prompt.answer}. choice {right}" in lines
    assert prompt.meta == {"subject": "maths", "choices": count}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"choices": ["1"]}, "field 'choices' must be a list of 2 to 10 texts"),
        ({"choices": ["1"] * 11}, "field 'choices' must be a list of 2 to 10 texts"),
        ({"choices": "ABC"}, "field 'choices' must be a list of 2 to 10 texts"),
        ({"answer": "D"}, "field 'answer' must be one of ABC, or its place from 0; got 'D'"),
        ({"answer": "b"}, "field 'answer' must be one of ABC, or its place from 0; got 'b'"),
        ({"answer": "AB"}, "field 'answer' must be one of ABC, or its place from 0; got 'AB'"),
        ({"answer": ""}, "field 'answer' must be one of ABC, or its place from 0; got ''"),
        ({"answer": 3}, "field 'answer' must be one of ABC, or its place from 0; got 3"),
        ({"answer": -1}, "field 'answer' must be one of ABC, or its place from 0; got -1"),
        ({"answer": None}, "field 'answer' must be one of ABC, or its place from 0; got None"),
    ],
)
def test_choices_that_can_not_be_lettered_are_named_with_their_line(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        choice_prompt(row(**CHOICES | changes))
    assert str(caught.value).startswith(f"rows.jsonl:1: {expected}")
