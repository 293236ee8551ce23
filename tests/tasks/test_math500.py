"""Run with: pytest tests/tasks/test_math500.py."""

from __future__ import annotations

import pytest

from cgd.benchmark_rows import BOXED
from cgd.plugins import build_task
from cgd.records import GradingRule
from tests.tasks.benchmark_files import DATA, load_file, load_hub, question_of, real_rows


def test_the_hubs_rows_become_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"problem": "Find $x$.", "solution": r"So \boxed{\frac12}.", "answer": r"\frac12", "subject": "Algebra"}
    (prompt,), asked = load_hub(monkeypatch, "math500", row | {"level": 2, "unique_id": "test/algebra/1.json"})
    assert asked == [("HuggingFaceH4/MATH-500", "test")]
    assert prompt.id.startswith("math500/test/algebra/1.json#")
    assert question_of(prompt) == f"Find $x$.\n\n{BOXED}"
    assert (prompt.answer, prompt.solution) == (r"\frac12", r"So \boxed{\frac12}.")
    assert prompt.meta == {"subject": "Algebra", "level": 2}
    assert build_task("math500", {}).rule(prompt) == GradingRule("math", "boxed")


def test_every_real_row_has_a_level_from_1_to_5_and_one_of_seven_subjects() -> None:
    real_rows("math500")
    prompts = load_file("math500", DATA / "math500.jsonl")
    assert {prompt.meta["level"] for prompt in prompts} == {1, 2, 3, 4, 5}
    assert len({prompt.meta["subject"] for prompt in prompts}) == 7
