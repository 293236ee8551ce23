"""Run with: pytest tests/tasks/test_aime24.py."""

from __future__ import annotations

import pytest

from cgd.benchmark_rows import BOXED
from cgd.plugins import build_task
from cgd.records import GradingRule
from tests.tasks.benchmark_files import DATA, load_file, load_hub, question_of, real_rows


def test_the_hubs_rows_become_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub has all rows in a split that it calls train, and answers with leading zeros."""
    row = {"id": 61, "problem": "Find N.", "solution": "It is 25.", "answer": "025", "url": "u", "year": "2024"}
    (prompt,), asked = load_hub(monkeypatch, "aime24", row)
    assert asked == [("HuggingFaceH4/aime_2024", "train")]
    assert prompt.id.startswith("aime24/61#")
    assert question_of(prompt) == f"Find N.\n\n{BOXED}"
    assert (prompt.answer, prompt.solution) == ("25", "It is 25.")
    assert build_task("aime24", {}).rule(prompt) == GradingRule("math", "boxed")


def test_every_real_answer_is_a_whole_number_below_1000_without_leading_zeros() -> None:
    real_rows("aime24")
    answers = [prompt.answer or "" for prompt in load_file("aime24", DATA / "aime24.jsonl")]
    assert answers == [str(int(answer)) for answer in answers]
    assert all(0 <= int(answer) <= 999 for answer in answers)
