"""Run with: pytest tests/tasks/test_jsonl.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.errors import UserError
from cgd.plugins import Task, build_task
from cgd.records import GradingRule, Prompt

ROWS: list[dict[str, Any]] = [
    {"prompt": "1 + 1?", "answer": 2, "solution": "1 + 1 = 2", "name": "first"},
    {"prompt": "2 + 2?", "answer": "4", "solution": "2 + 2 = 4", "name": "second"},
    {"prompt": "3 + 3?", "answer": "6", "solution": "3 + 3 = 6", "name": "third"},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    write(path, *ROWS)
    return path


def write(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def task(path: Path, **options: Any) -> Task:
    return build_task("jsonl", {"path": str(path), **options})


def load(path: Path, n: int | None = None, **options: Any) -> list[Prompt]:
    return task(path, **options).load("train", n, 0)


def complaint(path: Path, n: int | None = None, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(path, n, **options)
    return str(caught.value)


def test_rows_become_prompts_in_their_order(file: Path) -> None:
    prompts = load(file, answer_field="answer", solution_field="solution")
    assert [prompt.messages for prompt in prompts] == [({"role": "user", "content": row["prompt"]},) for row in ROWS]
    assert [prompt.answer for prompt in prompts] == ["2", "4", "6"]
    assert [prompt.solution for prompt in prompts] == [row["solution"] for row in ROWS]
    assert [prompt.source for prompt in prompts] == [f"{file}:{number}" for number in (1, 2, 3)]
    assert [prompt.id.partition("#")[0] for prompt in prompts] == ["jsonl/line-1", "jsonl/line-2", "jsonl/line-3"]


def test_only_the_fields_that_are_named_are_read(file: Path) -> None:
    assert [(prompt.answer, prompt.solution) for prompt in load(file)] == [(None, None)] * 3


def test_the_first_n_rows_are_taken_whatever_the_seed(file: Path) -> None:
    assert [len(load(file, n)) for n in (1, 2, 3, 9, None)] == [1, 2, 3, 3, 3]
    assert task(file).load("train", 2, 0) == task(file).load("train", 2, 7) == load(file)[:2]


def test_a_row_is_named_by_a_field_of_its_own(file: Path) -> None:
    assert [prompt.id.partition("#")[0] for prompt in load(file, id_field="name")] == [
        "jsonl/first",
        "jsonl/second",
        "jsonl/third",
    ]


def test_the_split_stands_in_the_path(file: Path) -> None:
    pattern = file.with_name("{split}.jsonl")
    write(file.with_name("train.jsonl"), ROWS[0])
    write(file.with_name("test.jsonl"), ROWS[1])
    assert [task(pattern).load(split, None, 0)[0].messages[0]["content"] for split in ("train", "test")] == [
        "1 + 1?",
        "2 + 2?",
    ]


def test_an_environment_variable_stands_in_the_path(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_ROWS", str(file.parent))
    assert len(load(Path("$MY_ROWS/rows.jsonl"))) == 3


def test_the_instruction_follows_the_last_message(file: Path) -> None:
    write(file, {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]})
    (prompt,) = load(file, instruction="End with 'Answer: <number>'.")
    assert prompt.messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 + 1?\n\nEnd with 'Answer: <number>'."},
    )


def test_a_prompt_may_be_a_chat_that_ends_with_the_user(file: Path) -> None:
    chat = [
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "And 2 + 2?"},
    ]
    write(file, {"question": [{**message, "extra": 1} for message in chat]})
    assert list(load(file, prompt_field="question")[0].messages) == chat


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({}, GradingRule("math", "answer_line")),
        ({"answer_kind": "text", "answer_format": "boxed"}, GradingRule("text", "boxed")),
        ({"answer_kind": "choice"}, GradingRule("choice", "answer_line")),
        ({"answer_kind": "boolean"}, GradingRule("boolean", "answer_line")),
        ({"answer_kind": "list"}, GradingRule("list", "answer_line")),
        ({"answer_kind": "tolerance", "tolerance": 0.05}, GradingRule("tolerance", "answer_line", 0.05)),
    ],
)
def test_answers_are_graded_as_the_options_say(file: Path, options: dict[str, Any], rule: GradingRule) -> None:
    own = task(file, **options)
    assert {own.rule(prompt) for prompt in own.load("train", None, 0)} == {rule}


def test_a_kind_of_answer_that_there_is_not_is_refused_with_the_allowed_ones(file: Path) -> None:
    with pytest.raises(UserError, match="answer_kind: Input should be 'math', 'choice', 'boolean', 'text', 'list' or"):
        task(file, answer_kind="number")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"answer_kind": "tolerance"}, "answer_kind = 'tolerance' and a tolerance above 0 go together"),
        ({"tolerance": 0.05}, "answer_kind = 'tolerance' and a tolerance above 0 go together"),
        ({"answer_kind": "tolerance", "tolerance": -0.1}, "tolerance: Input should be greater than or equal to 0"),
    ],
)
def test_a_tolerance_and_its_kind_of_answer_go_together(file: Path, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        task(file, **options)


def test_a_rows_weight_and_defect_are_kept_with_the_prompt(file: Path) -> None:
    """A row whose defect is null or empty is sound; the weight is read for every row."""
    write(
        file, *({**row, "w": w, "why": why} for row, w, why in zip(ROWS, (1, 0.5, 2), ("typo", None, ""), strict=True))
    )
    prompts = load(file, weight_field="w", known_issue_field="why")
    assert [dict(prompt.meta) for prompt in prompts] == [
        {"weight": 1, "known_issue": "typo"},
        {"weight": 0.5},
        {"weight": 2},
    ]
    assert [dict(prompt.meta) for prompt in load(file)] == [{}, {}, {}]


@settings(deadline=None)
@given(weight=st.one_of(st.floats(), st.integers(-3, 3), st.booleans(), st.text(max_size=2), st.none()))
def test_a_weight_is_accepted_exactly_where_it_is_a_finite_number_above_0(
    tmp_path_factory: pytest.TempPathFactory, weight: Any
) -> None:
    file = tmp_path_factory.mktemp("weights") / "rows.jsonl"
    write(file, {"prompt": "?", "w": weight})
    valid = not isinstance(weight, bool) and isinstance(weight, int | float) and 0 < weight < float("inf")
    if valid:
        assert load(file, weight_field="w")[0].meta == {"weight": weight}
    else:
        assert f"{file}:1: field 'w' must be a number above 0; got " in complaint(file, weight_field="w")


# Faulty rows


@pytest.mark.parametrize(
    ("row", "options", "expected"),
    [
        ({"question": "?"}, {}, "field 'prompt' must be a non-empty text; got None; fields: question"),
        ({"prompt": " "}, {}, "field 'prompt' must be a non-empty text; got ' '"),
        ({"prompt": "?"}, {"answer_field": "answer"}, "field 'answer' must be a non-empty text; got None"),
        ({"prompt": "?", "y": ""}, {"solution_field": "y"}, "field 'y' must be a non-empty text; got ''"),
        ({"prompt": "?"}, {"id_field": "id"}, "field 'id' must be a non-empty text; got None"),
        ({"prompt": []}, {}, "the last message of 'prompt' must be the user's"),
        ({"prompt": [{"role": "assistant", "content": "2"}]}, {}, "the last message of 'prompt' must be the user's"),
        ({"prompt": [{"role": "tool", "content": "2"}]}, {}, "role (system, user, assistant)"),
        ({"prompt": [{"role": "user", "content": 2}]}, {}, "content (text); got {'role': 'user', 'content': 2}"),
        ({"prompt": [{"role": "user"}]}, {}, "content (text); got {'role': 'user'}"),
        ({"prompt": ["1 + 1?"]}, {}, "got '1 + 1?'"),
        ({"prompt": [{"role": "user", "content": " "}]}, {}, "the last message of 'prompt' is empty"),
    ],
)
def test_a_faulty_row_is_named_by_file_and_line(
    file: Path, row: dict[str, Any], options: dict[str, Any], expected: str
) -> None:
    write(file, {"prompt": "fine", "answer": "1", "y": "1", "id": "a"}, row)
    message = complaint(file, **options)
    assert message.startswith(f"{file}:2: ")
    assert expected in message


def test_a_faulty_row_beyond_the_first_n_does_not_matter(file: Path) -> None:
    write(file, *ROWS, {"prompt": ""})
    assert len(load(file, 3)) == 3


def test_a_repeated_prompt_is_named_with_both_lines(file: Path) -> None:
    write(file, ROWS[0], ROWS[1], {**ROWS[0], "answer": 3})
    assert complaint(file) == f"{file}:3: the prompt of line 1 again; remove one of them"


def test_a_repeated_id_is_named_with_both_lines(file: Path) -> None:
    write(file, {"prompt": "a", "id": "x"}, {"prompt": "b", "id": "x"})
    assert complaint(file, id_field="id") == f"{file}:2: the id of line 1 again; remove one of them"


def test_ids_that_differ_after_a_hash_sign_differ(file: Path) -> None:
    write(file, {"prompt": "a", "id": "train.jsonl#L1"}, {"prompt": "b", "id": "train.jsonl#L2"})
    assert len(load(file, id_field="id")) == 2


@settings(deadline=None)
@given(st.lists(st.text("ab#", min_size=1, max_size=3), min_size=1, max_size=4))
def test_ids_are_accepted_exactly_where_they_differ(tmp_path_factory: pytest.TempPathFactory, ids: list[str]) -> None:
    file = tmp_path_factory.mktemp("ids") / "rows.jsonl"
    write(file, *({"prompt": f"{index}?", "id": name} for index, name in enumerate(ids)))
    try:
        accepted = len(load(file, id_field="id")) == len(ids)
    except UserError:
        accepted = False
    assert accepted == (len(set(ids)) == len(ids))


def test_the_options_are_checked_before_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="promptfield: unknown key; did you mean 'prompt_field'"):
        build_task("jsonl", {"path": str(tmp_path / "none.jsonl"), "promptfield": "x"})
    with pytest.raises(UserError, match="path: required, but absent"):
        build_task("jsonl", {})
    assert "No such file" in complaint(tmp_path / "none.jsonl")
