"""Run with: pytest tests/test_grading_golds.py. Every gold of every benchmark file, graded by its task's own rule."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Literal

import pytest

from cgd.grade_file import verdicts
from cgd.grading import GradingItem, grade_many
from cgd.plugins import build_task
from cgd.records import AnswerFormat, Grade, GradingRule

DATA = Path(os.environ.get("CGD_DATA", Path(__file__).parents[2] / "shared" / "data"))
FILES: dict[str, tuple[str, Literal["train", "test"]]] = {
    **{name: (name, "test") for name in ("amc23", "aime24", "math500", "minerva_math")},
    **{"olympiadbench_math_en": ("olympiadbench", "test"), "math_train_prompts": ("math500", "test")},
    **{"gsm8k_test": ("gsm8k", "test"), "gsm8k_train": ("gsm8k", "train")},
    **{"mmlu_sample": ("mmlu", "test"), "mmlu_pro_sample": ("mmlu_pro", "test")},
}
"""Files, and the task and split that read them."""
FORMS: dict[AnswerFormat, str] = {"answer_line": "So it is.\nAnswer: {}", "boxed": "So it is \\boxed{{{}}}."}
SAME = {("5", "x=5"), ("928", "927.5")}
"""Golds of neighbouring rows that are equal indeed: an equation for its value, and a number within one percent."""


def path_of(name: str) -> Path:
    path = DATA / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"no benchmark data at {path}; set CGD_DATA")
    return path


def golds(name: str) -> list[tuple[str, GradingRule]]:
    path = path_of(name)
    task, split = FILES[name]
    plugin = build_task(task, {"path": str(path)})
    return [(str(prompt.answer), plugin.rule(prompt)) for prompt in plugin.load(split, None, 0)]


def neighbours(answers: list[str]) -> list[str]:
    """For each row, the gold of the next row whose gold differs."""
    around = [answers[i + 1 :] + answers[:i] for i in range(len(answers))]
    return [next(other for other in others if other != own) for own, others in zip(answers, around, strict=True)]


def graded(rows: list[tuple[str, GradingRule]], answers: list[str], form: AnswerFormat) -> list[Grade]:
    return grade_many(
        [
            GradingItem(FORMS[form].format(answer), gold, rule._replace(answer_format=form))
            for (gold, rule), answer in zip(rows, answers, strict=True)
        ]
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FILES)
def test_every_gold_is_accepted_as_its_own_answer(name: str, form: AnswerFormat) -> None:
    rows = golds(name)
    grades = graded(rows, [gold for gold, _ in rows], form)
    assert [gold for (gold, _), grade in zip(rows, grades, strict=True) if not grade.strict] == []


@pytest.mark.parametrize("name", FILES)
def test_the_gold_of_another_row_is_refused(name: str) -> None:
    rows = golds(name)
    others = neighbours([gold for gold, _ in rows])
    grades = graded(rows, others, rows[0][1].answer_format)
    pairs = [(gold, other) for (gold, _), other in zip(rows, others, strict=True)]
    assert {pair for pair, grade in zip(pairs, grades, strict=True) if grade.flexible} <= SAME


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [*FILES, "critiques_permissive"])
def test_a_table_of_golds_is_accepted_without_saying_of_what_kind_they_are(name: str, form: AnswerFormat) -> None:
    rows = [json.loads(line) for line in path_of(name).read_text(encoding="utf-8").split("\n") if line]
    answers = [row["answer"] for row in rows if row.get("answer") is not None]
    table = [{"gold": answer, "prediction": FORMS[form].format(answer)} for answer in answers]
    found = verdicts(io.BytesIO("".join(json.dumps(row) + "\n" for row in table).encode()), name)
    assert [answer for answer, verdict in zip(answers, found, strict=True) if not verdict["strict"]] == []
