"""Run with: pytest tests/tasks/test_mmlu_pro.py."""

from __future__ import annotations

import pytest

from cgd.plugins import build_task
from cgd.records import GradingRule
from tests.tasks.benchmark_files import DATA, load_file, load_hub, question_of, real_rows


def test_the_hubs_rows_become_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {
        "question_id": 70,
        "question": "Which is prime?",
        "options": ["1", "4", "6", "8", "9", "10", "12", "14", "15", "17"],
        "answer": "J",
        "answer_index": 9,
        "cot_content": "",
        "category": "math",
        "src": "made-up",
    }
    (prompt,), asked = load_hub(monkeypatch, "mmlu_pro", row)
    assert asked == [("TIGER-Lab/MMLU-Pro", "test")]
    assert prompt.id.startswith("mmlu_pro/70#")
    assert "\n\nA. 1\nB. 4\n" in question_of(prompt)
    assert question_of(prompt).endswith("\nJ. 17\n\nThink step by step, then end with a line 'Answer: <letter>'.")
    assert (prompt.answer, dict(prompt.meta)) == ("J", {"subject": "math", "choices": 10})
    assert build_task("mmlu_pro", {}).rule(prompt) == GradingRule("choice", "answer_line")


def test_125_of_the_700_real_rows_have_fewer_than_ten_choices_and_every_letter_stands_for_its_place() -> None:
    rows = real_rows("mmlu_pro_sample")
    prompts = load_file("mmlu_pro", DATA / "mmlu_pro_sample.jsonl")
    counts = [prompt.meta["choices"] for prompt in prompts]
    assert (min(counts), max(counts), sum(count < 10 for count in counts)) == (3, 10, 125)
    for prompt, row in zip(prompts, rows, strict=True):
        assert "ABCDEFGHIJ".index(prompt.answer or "") == row["answer_index"]
        assert f"\n{prompt.answer}. {row['choices'][row['answer_index']]}\n" in question_of(prompt)
