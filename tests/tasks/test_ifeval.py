"""Run with: pytest tests/tasks/test_ifeval.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cgd.errors import UserError
from cgd.plugins import build_task
from cgd.records import GradingRule
from tests.tasks.benchmark_files import DATA, load_file, load_hub, load_rows, question_of, real_rows


def test_the_hubs_rows_become_prompts_without_the_keys_of_other_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub gives each instruction the keys of all, null where they are not its own."""
    row = {
        "key": 1000,
        "prompt": " Write 300 words. ",
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{"num_words": None, "relation": None}, {"num_words": 300, "relation": "at least"}],
    }
    (prompt,), asked = load_hub(monkeypatch, "ifeval", row)
    assert asked == [("google/IFEval", "train")]
    assert prompt.id.startswith("ifeval/1000#")
    assert question_of(prompt) == " Write 300 words. "
    assert json.loads(prompt.answer or "") == {
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{}, {"num_words": 300, "relation": "at least"}],
    }
    assert build_task("ifeval", {}).rule(prompt).kind == "instructions"
    assert build_task("ifeval", {}).rule(prompt) == GradingRule("instructions", "answer_line")


@pytest.mark.parametrize(
    "changes",
    [
        {"instruction_id_list": []},
        {"instruction_id_list": "punctuation:no_comma"},
        {"kwargs": []},
        {"kwargs": None},
        {"kwargs": [{}, {}]},
    ],
)
def test_instructions_and_their_keys_must_go_together(tmp_path: Path, changes: dict[str, Any]) -> None:
    row = {"prompt": "Write.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    with pytest.raises(UserError, match=r"rows.jsonl:1: 'instruction_id_list' and 'kwargs' must be lists of the same"):
        load_rows("ifeval", tmp_path, row | changes)


def test_the_real_prompts_are_word_for_word_and_hold_834_instructions() -> None:
    rows = real_rows("ifeval")
    prompts = load_file("ifeval", DATA / "ifeval.jsonl")
    assert [question_of(prompt) for prompt in prompts] == [row["prompt"] for row in rows]
    answers = [json.loads(prompt.answer or "") for prompt in prompts]
    assert sum(len(answer["instruction_id_list"]) for answer in answers) == 834
    assert len({name for answer in answers for name in answer["instruction_id_list"]}) == 25
    assert [answer["kwargs"] for answer in answers] == [row["kwargs"] for row in rows]
