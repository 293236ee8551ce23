"""Run with: pytest tests/tasks/test_amc23.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgd.benchmark_rows import BOXED
from cgd.errors import UserError
from cgd.plugins import build_task
from cgd.records import GradingRule
from tests.tasks.benchmark_files import load_hub, load_rows, question_of


def test_the_hubs_rows_become_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub stores 27 as 27.0."""
    row = {"id": 3, "question": "How many miles?", "answer": "27.0", "url": "https://example.org/AMC_12A"}
    (prompt,), asked = load_hub(monkeypatch, "amc23", row)
    assert asked == [("math-ai/amc23", "test")]
    assert prompt.id.startswith("amc23/3#")
    assert question_of(prompt) == f"How many miles?\n\n{BOXED}"
    assert (prompt.answer, prompt.source) == ("27", "math-ai/amc23 test row 0")


def test_a_files_rows_become_prompts_graded_as_boxed_mathematics(tmp_path: Path) -> None:
    (prompt,) = load_rows("amc23", tmp_path, {"id": "a", "prompt": "How many?", "answer": "27", "subject": "12A"})
    assert (prompt.answer, dict(prompt.meta)) == ("27", {"subject": "12A"})
    assert build_task("amc23", {}).rule(prompt) == GradingRule("math", "boxed")


def test_an_answer_that_is_no_whole_number_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rows.jsonl:1: the answer must be a whole number; got '27.5'"):
        load_rows("amc23", tmp_path, {"prompt": "How many?", "answer": "27.5"})
