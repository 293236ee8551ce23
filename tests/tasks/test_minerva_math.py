"""Run with: pytest tests/tasks/test_minerva_math.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgd.benchmark_rows import BOXED
from cgd.plugins import build_task
from cgd.records import GradingRule
from tests.tasks.benchmark_files import DATA, load_file, load_hub, load_rows, question_of, real_rows

WITHIN_1_PERCENT = GradingRule("tolerance", "boxed", 0.01)
MATH = GradingRule("math", "boxed")


def test_the_hubs_rows_become_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    (prompt,), asked = load_hub(monkeypatch, "minerva_math", {"question": "How bright?", "answer": "4.5e33\n"})
    assert asked == [("math-ai/minervamath", "test")]
    assert prompt.id.startswith("minerva_math/0#")
    assert question_of(prompt) == f"How bright?\n\n{BOXED}"
    assert (prompt.answer, prompt.solution) == ("4.5e33", None)


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        *((answer, WITHIN_1_PERCENT) for answer in ("1.6", "4.5e33", "1e-5", "-10", "+2", "0", ".5", "3.", "7E-3")),
        *(
            (answer, MATH)
            for answer in ("-1./3", "np.arcsin(10/13)", r"\frac{1}{2} m", "7.6 Z", "e^{t} / 3", "MR=SRMC")
        ),
    ],
)
def test_a_number_is_graded_within_1_percent_and_anything_else_as_mathematics(
    tmp_path: Path, answer: str, rule: GradingRule
) -> None:
    (prompt,) = load_rows("minerva_math", tmp_path, {"prompt": "How much?", "answer": answer})
    assert build_task("minerva_math", {}).rule(prompt) == rule


def test_the_real_golds_that_are_numbers_are_those_that_python_reads_as_one() -> None:
    real_rows("minerva_math")

    def is_number(text: str) -> bool:
        try:
            float(text)
        except ValueError:
            return False
        return True

    task = build_task("minerva_math", {})
    for prompt in load_file("minerva_math", DATA / "minerva_math.jsonl"):
        assert (task.rule(prompt) == WITHIN_1_PERCENT) == is_number(prompt.answer or ""), prompt.answer
