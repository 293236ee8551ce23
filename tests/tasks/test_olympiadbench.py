"""Run with: pytest tests/tasks/test_olympiadbench.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cgd.benchmark_rows import BOXED
from cgd.errors import UserError
from cgd.plugins import build_task
from cgd.records import GradingRule, Prompt
from tests.tasks.benchmark_files import DATA, load_file, load_hub, load_rows, question_of, real_rows

HUB_ROW: dict[str, Any] = {
    "id": 2000,
    "question": "Find all $x$.",
    "solution": ["First.", "Second."],
    "final_answer": ["$69$,$84$"],
    "context": None,
    "image_1": None,
    "modality": "Text-only",
    "difficulty": "Competition",
    "is_multiple_answer": True,
    "unit": None,
    "answer_type": "Numerical",
    "error": None,
    "question_type": "Open-ended",
    "subfield": "Algebra",
    "subject": "Math",
    "language": "English",
}
ROW: dict[str, Any] = {"prompt": "How far?", "answer": "4.2", "subject": "Algebra", "is_multiple_answer": False}


def load_one(tmp_path: Path, **changes: Any) -> Prompt:
    (prompt,) = load_rows("olympiadbench", tmp_path, ROW | changes)
    return prompt


def test_the_hubs_rows_become_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    (prompt,), asked = load_hub(monkeypatch, "olympiadbench", HUB_ROW)
    assert asked == [("Hothan/OlympiadBench", "OE_TO_maths_en_COMP", "train")]
    assert prompt.id.startswith("olympiadbench/2000#")
    assert question_of(prompt) == (
        f"Find all $x$.\n\n{BOXED} There are several answers: put all of them in one box, separated by commas."
    )
    assert (prompt.answer, prompt.solution) == ("69,84", "First.\nSecond.")
    assert prompt.meta == {"subject": "Algebra", "several_answers": True, "answer_type": "Numerical"}
    assert build_task("olympiadbench", {}).rule(prompt) == GradingRule("math", "boxed")


def test_the_hubs_context_stands_before_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    (prompt,), _ = load_hub(monkeypatch, "olympiadbench", HUB_ROW | {"context": "A game.", "is_multiple_answer": False})
    assert question_of(prompt) == f"A game.\nFind all $x$.\n\n{BOXED}"


def test_the_unit_is_told_and_left_out_of_the_answer(tmp_path: Path) -> None:
    prompt = load_one(tmp_path, unit="km/h")
    assert question_of(prompt) == f"How far?\n\n{BOXED} The answer is in km/h; leave the unit out."
    assert prompt.meta["unit"] == "km/h"


def test_an_absolute_tolerance_becomes_a_share_of_the_gold(tmp_path: Path) -> None:
    """0.1 of 4.2 is the share 0.1 / 4.2 = 0.0238095...; of -5 it is 0.02."""
    task = build_task("olympiadbench", {})
    assert task.rule(load_one(tmp_path, tolerance="1e-1")) == GradingRule("tolerance", "boxed", 0.1 / 4.2)
    assert task.rule(load_one(tmp_path, error="0.1", answer="-5")) == GradingRule("tolerance", "boxed", 0.02)
    assert task.rule(load_one(tmp_path)) == GradingRule("math", "boxed")


@pytest.mark.parametrize("changes", [{"answer": "1,3"}, {"answer": "0"}, {"tolerance": "0.1,0.1"}])
def test_a_tolerance_without_one_number_to_be_a_share_of_is_named_with_its_line(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=r"rows.jsonl:1: a tolerance needs to be one number, and the answer one other"):
        load_one(tmp_path, **{"tolerance": "1e-1"} | changes)


@pytest.mark.parametrize(
    ("question", "faulty"),
    [
        ("Let $T=TNYWR$. Compute $T$.", True),
        ("Let $T=T N Y W R$. Compute $T$.", True),
        ("Let $A$ be the number you will receive.", True),
        ("Add the numbers you receive.", True),
        ("Which microphone receives the sound first?", False),
        ("Let $T=2$. Compute $T$.", False),
        ("Let $T=(0,0)$ and so on. Compute the area of $T N Y W R$.", False),
    ],
)
def test_relay_problems_are_marked(tmp_path: Path, question: str, faulty: bool) -> None:
    assert ("known_issue" in load_one(tmp_path, prompt=question).meta) == faulty


def test_one_real_row_has_a_tolerance_and_some_have_several_answers_or_a_unit() -> None:
    """Several answers: 62 + 1 numbers (the one has a unit), 24 tuples and 7 expressions make 94; 8 rows have a unit."""
    real_rows("olympiadbench_math_en")
    prompts = load_file("olympiadbench", DATA / "olympiadbench_math_en.jsonl")
    task = build_task("olympiadbench", {})
    assert [task.rule(prompt).kind for prompt in prompts].count("tolerance") == 1
    assert sum(prompt.meta["several_answers"] for prompt in prompts) == 94
    assert sum("unit" in prompt.meta for prompt in prompts) == 8
    assert sum(prompt.meta["several_answers"] and "unit" in prompt.meta for prompt in prompts) == 1
