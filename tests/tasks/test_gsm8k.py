"""Run with: pytest tests/tasks/test_gsm8k.py."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cgd.errors import UserError
from cgd.plugins import Task, build_task
from cgd.records import GradingRule, Prompt

DATA = Path(os.environ.get("CGD_DATA", Path(__file__).parents[3] / "shared" / "data"))
SOLUTION = "48/2 = <<48/2=24>>24 clips in May.\n48+24 = <<48+24=72>>72 clips in all.\n#### 72"


def task(path: Path) -> Task:
    return build_task("gsm8k", {"path": str(path)})


def load(tmp_path: Path, *rows: dict[str, Any]) -> list[Prompt]:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return task(path).load("train", None, 0)


def real_rows(split: str) -> list[dict[str, Any]]:
    path = DATA / f"gsm8k_{split}.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not there; CGD_DATA names the folder that holds gsm8k_{split}.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_it_is_graded_as_mathematics_on_an_answer_line(tmp_path: Path) -> None:
    (prompt,) = load(tmp_path, {"question": "How many clips?", "answer": SOLUTION})
    assert build_task("gsm8k", {}).rule(prompt) == GradingRule("math", "answer_line")


@pytest.mark.parametrize(
    "row",
    [
        {"id": "train-1", "prompt": " How many clips?\n", "solution": SOLUTION, "answer": "72"},
        {"id": "train-1", "question": "How many clips?", "answer": SOLUTION},
    ],
)
def test_our_rows_and_the_hubs_become_one_prompt(tmp_path: Path, row: dict[str, Any]) -> None:
    """The calculator marks <<48/2=24>> go, the last line #### 72 becomes Answer: 72."""
    (prompt,) = load(tmp_path, row)
    assert prompt.id.startswith("gsm8k/train-1#")
    assert prompt.messages == (
        {
            "role": "user",
            "content": "How many clips?\n\nSolve the problem step by step, then end with a line 'Answer: <number>'.",
        },
    )
    assert prompt.answer == "72"
    assert prompt.solution == "48/2 = 24 clips in May.\n48+24 = 72 clips in all.\nAnswer: 72"


@pytest.mark.parametrize(
    ("end", "answer"), [("#### 1,234,567", "1234567"), ("####5", "5"), ("#### -3 \n", "-3"), ("#### 0.5", "0.5")]
)
def test_the_number_after_the_hashes_is_the_answer_without_its_commas(tmp_path: Path, end: str, answer: str) -> None:
    (prompt,) = load(tmp_path, {"question": "?", "answer": f"Because.\n{end}"})
    assert (prompt.answer, prompt.solution) == (answer, f"Because.\nAnswer: {answer}")


def test_a_row_without_an_id_is_named_by_its_place(tmp_path: Path) -> None:
    prompts = load(tmp_path, *({"question": f"{index}?", "answer": "#### 1"} for index in range(2)))
    assert [prompt.id.partition("#")[0] for prompt in prompts] == ["gsm8k/0", "gsm8k/1"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": "?", "answer": "It is 72."}, "the solution does not end in '#### <number>'"),
        ({"question": "?", "answer": "#### 72\nas said"}, "the solution does not end in '#### <number>'"),
        ({"question": "?"}, "field 'solution' must be a non-empty text"),
        ({"answer": SOLUTION}, "field 'prompt' must be a non-empty text"),
    ],
)
def test_a_faulty_row_is_named_by_file_and_line(tmp_path: Path, row: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, {"question": "?", "answer": SOLUTION}, row)
    assert str(caught.value).startswith(f"{tmp_path / 'rows.jsonl'}:2: ")
    assert expected in str(caught.value)


# The hub (a test double stands for the `datasets` library)


def test_without_a_path_the_rows_come_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load_dataset(*names: str, split: str) -> list[dict[str, str]]:
        asked.append((*names, split))
        return [{"question": "How many clips?", "answer": SOLUTION}] * 3

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    prompts = build_task("gsm8k", {}).load("test", 2, 0)
    assert asked == [("openai/gsm8k", "main", "test")]
    assert [prompt.source for prompt in prompts] == [f"openai/gsm8k main/test row {index}" for index in range(2)]


def test_a_hub_that_does_not_answer_is_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*names: str, split: str) -> None:
        raise ConnectionError("no network")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(UserError, match=r"can't load openai/gsm8k .*: no network. Without a hub give options.path"):
        build_task("gsm8k", {}).load("test", 2, 0)


# The real files


@pytest.mark.parametrize(("split", "count"), [("train", 7473), ("test", 1319)])
def test_every_real_row_loads_and_its_solution_ends_with_its_gold_answer(split: str, count: int) -> None:
    rows = real_rows(split)
    prompts = build_task("gsm8k", {"path": str(DATA / "gsm8k_{split}.jsonl")}).load(
        "train" if split == "train" else "test", None, 0
    )
    assert len(prompts) == len(rows) == count
    for prompt, row in zip(prompts, rows, strict=True):
        assert prompt.answer == row["answer"]
        assert prompt.solution is not None
        assert prompt.solution.splitlines()[-1] == f"Answer: {row['answer']}"
        assert prompt.messages[0]["content"].startswith(row["prompt"].strip())


def test_no_calculator_mark_is_left_in_a_real_solution_and_nothing_else_is_lost() -> None:
    real_rows("train")
    for prompt in task(DATA / "gsm8k_train.jsonl").load("train", None, 0):
        assert prompt.solution is not None
        assert not re.search(r"<<|>>|####", prompt.solution), prompt.id


def test_no_real_id_is_given_twice() -> None:
    real_rows("train")
    ids = [prompt.id for prompt in task(DATA / "gsm8k_train.jsonl").load("train", None, 0)]
    assert len(set(ids)) == len(ids)
