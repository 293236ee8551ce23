"""Run with: pytest tests/starter/test_data.py."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cgd.errors import UserError
from cgd.plugins import build_task
from cgd.starter.data import Data, find_data, find_tests

REAL = Path(os.environ.get("CGD_DATA", Path(__file__).parents[3] / "shared" / "data"))


def found(path: Path, *rows: dict[str, Any], prompt_field: str | None = None) -> Data:
    file = path / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return find_data(str(file), prompt_field)


def options(data: Data) -> dict[str, Any]:
    return {key: value for key, value in data.options.items() if key != "path"}


def test_fields_are_found_by_their_usual_names(tmp_path: Path) -> None:
    """`id` repeats, so it names no row; `note` is empty in a row, `weight` is nobody's."""
    rows = [
        {"id": 1, "problem": "1 + 1?", "final_answer": 2, "response": "It is 2.", "note": "", "known_issue": None},
        {"id": 1, "problem": "1 + 2?", "final_answer": 3, "response": "It is 3.", "note": "x", "known_issue": "odd"},
    ]
    data = found(tmp_path, *rows)
    assert options(data) == {
        "prompt_field": "problem",
        "answer_field": "final_answer",
        "solution_field": "response",
        "known_issue_field": "known_issue",
        "instruction": "Think step by step, then end with a line 'Answer: <answer>'.",
    }
    assert (data.solutions, data.tests) == (True, False)


def test_a_field_counts_only_where_every_row_has_it(tmp_path: Path) -> None:
    data = found(tmp_path, {"prompt": "a", "answer": "1", "solution": "s"}, {"prompt": "b", "answer": True})
    assert options(data) == {"prompt_field": "prompt"}


def test_a_long_answer_is_a_solution(tmp_path: Path) -> None:
    data = found(tmp_path, {"question": "?", "answer": "First we look at it for a while and then we say that it is 4."})
    assert options(data) == {"prompt_field": "question", "solution_field": "answer"}


def test_chats_are_prompts(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "Hello?"}]
    assert options(found(tmp_path, {"messages": chat})) == {"prompt_field": "messages"}


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (["A", "(C)"], "choice"),
        (["yes", "No"], "boolean"),
        (["Paris", "the moon"], "text"),
        (["12", "x^2"], None),
        (["A", "12"], None),
    ],
)
def test_the_answers_say_how_they_are_compared(answers: list[str], kind: str | None, tmp_path: Path) -> None:
    data = found(tmp_path, *({"prompt": f"{n}?", "answer": answer} for n, answer in enumerate(answers)))
    assert data.options.get("answer_kind") == kind


def test_boxed_solutions_ask_for_a_box(tmp_path: Path) -> None:
    data = found(tmp_path, {"prompt": "1 + 1?", "answer": "2", "solution": r"So \boxed{2}."})
    assert data.options["answer_format"] == "boxed"
    assert r"\boxed{}" in data.options["instruction"]


def test_a_prompt_that_asks_for_the_format_is_left_as_it_is(tmp_path: Path) -> None:
    assert "instruction" not in found(tmp_path, {"prompt": "1 + 1? End with 'Answer: ...'", "answer": "2"}).options


def test_an_unusual_prompt_field_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which field holds the prompts.*--prompt-field; fields of all rows: utterance"):
        found(tmp_path, {"utterance": "Hello"})
    assert options(found(tmp_path, {"utterance": "Hello"}, prompt_field="utterance")) == {"prompt_field": "utterance"}
    with pytest.raises(UserError, match="not every row has a field 'speech'"):
        found(tmp_path, {"utterance": "Hello"}, prompt_field="speech")


def test_a_benchmark_without_a_training_split_is_for_testing() -> None:
    with pytest.raises(UserError, match="'math500' is for testing only.*--evaluate math500"):
        find_data("math500", None)
    assert find_tests("math500", None).task == "math500"


def test_test_prompts_need_answers(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "Hello?"}\n')
    with pytest.raises(UserError, match="no answers to grade by"):
        find_tests(str(tmp_path / "rows.jsonl"), None)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the benchmark files that CGD_DATA names")
@pytest.mark.parametrize("name", ["gsm8k_test", "math500", "amc23", "aime24", "minerva_math", "mmlu_sample"])
def test_what_is_found_in_real_files_reads_them(name: str) -> None:
    file = REAL / f"{name}.jsonl"
    if not file.is_file():
        pytest.skip(f"{file} is absent")
    data = find_data(str(file), None)
    wanted = {"prompt_field": "prompt", "answer_field": "answer", "id_field": "id"}
    assert {key: data.options.get(key) for key in wanted} == wanted
    try:
        build_task("jsonl", data.options).load("train", 5, 0)
    except UserError as error:  # a file may repeat a prompt with other choices
        assert "again" in str(error)
