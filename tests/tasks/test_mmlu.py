"""Run with: pytest tests/tasks/test_mmlu.py."""

from __future__ import annotations

import pytest

from cgd.plugins import build_task
from cgd.records import GradingRule
from tests.tasks.benchmark_files import DATA, load_file, load_hub, question_of, real_rows


def test_the_hubs_rows_become_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub gives the right choice by its place from 0: 2 is C."""
    row = {"question": "Which is prime?", "subject": "number_theory", "choices": ["1", "4", "5", "6"], "answer": 2}
    (prompt,), asked = load_hub(monkeypatch, "mmlu", row)
    assert asked == [("cais/mmlu", "all", "test")]
    assert question_of(prompt) == (
        "Which is prime?\n\nA. 1\nB. 4\nC. 5\nD. 6\n\nThink step by step, then end with a line 'Answer: <letter>'."
    )
    assert (prompt.answer, dict(prompt.meta)) == ("C", {"subject": "number_theory", "choices": 4})
    assert build_task("mmlu", {}).rule(prompt) == GradingRule("choice", "answer_line")


def test_the_real_sample_has_57_subjects_of_20_rows_with_four_choices_each() -> None:
    real_rows("mmlu_sample")
    prompts = load_file("mmlu", DATA / "mmlu_sample.jsonl")
    subjects = [prompt.meta["subject"] for prompt in prompts]
    assert {subject: subjects.count(subject) for subject in subjects} == dict.fromkeys(sorted(set(subjects)), 20)
    assert len(set(subjects)) == 57
    assert {prompt.meta["choices"] for prompt in prompts} == {4}
    assert {prompt.answer for prompt in prompts} == set("ABCD")
