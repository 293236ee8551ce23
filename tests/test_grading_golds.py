"""Run with: pytest tests/test_grading_golds.py. Every gold of every benchmark file, graded by its task's own rule."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cgd.grading import GradingItem, grade_many
from cgd.plugins import build_task
from cgd.records import Grade, Prompt

DATA = Path(os.environ.get("CGD_DATA", Path(__file__).parents[2] / "shared" / "data"))
FILES = {
    **{name: name for name in ("amc23", "aime24", "math500", "minerva_math")},
    **{"olympiadbench": "olympiadbench_math_en", "gsm8k": "gsm8k_test", "mmlu": "mmlu_sample"},
    **{"mmlu_pro": "mmlu_pro_sample"},
}
SAME = {("5", "x=5"), ("928", "927.5")}
"""Golds of neighbouring rows that are equal indeed: an equation for its value, and a number within one percent."""


def graded(task: str, shift: int) -> list[tuple[Prompt, str, Grade]]:
    """Each prompt with the gold of itself (0) or of the next row whose gold differs (1) as its answer."""
    path = DATA / f"{FILES[task]}.jsonl"
    if not path.exists():
        pytest.skip(f"no benchmark data at {path}; set CGD_DATA")
    plugin = build_task(task, {"path": str(path)})
    prompts = plugin.load("test", None, 0)
    answers = [str(prompt.answer) for prompt in prompts]
    if shift:
        around = [answers[i + 1 :] + answers[:i] for i in range(len(answers))]
        answers = [next(other for other in others if other != own) for own, others in zip(answers, around, strict=True)]
    items = []
    for prompt, answer in zip(prompts, answers, strict=True):
        rule = plugin.rule(prompt)
        form = "So it is.\nAnswer: {}" if rule.answer_format == "answer_line" else "So it is \\boxed{{{}}}."
        items.append(GradingItem(form.format(answer), str(prompt.answer), rule))
    return list(zip(prompts, answers, grade_many(items), strict=True))


@pytest.mark.parametrize("task", FILES)
def test_every_gold_is_accepted_as_its_own_answer(task: str) -> None:
    assert [(prompt.id, prompt.answer) for prompt, _, grade in graded(task, 0) if not grade.strict] == []


@pytest.mark.parametrize("task", FILES)
def test_the_gold_of_another_row_is_refused(task: str) -> None:
    accepted = {(str(prompt.answer), answer) for prompt, answer, grade in graded(task, 1) if grade.flexible}
    assert accepted <= SAME
