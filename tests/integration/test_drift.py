"""Run with: pytest tests/integration/test_drift.py. The drift of critique fine-tuning, on a tiny student."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgd import pipeline
from cgd.recipe import load_recipe
from tests.tiny import save_recipe

CRITIQUE = "The student's answer is wrong. The error is in step 2."  # one for all, which is soon learnt


def run(folder: Path, student: Path, objective: str, steps: int) -> pipeline.RunResult:
    path = save_recipe(
        folder / f"{objective}.toml",
        student,
        data={"n": 96},
        student={"options": {}},
        teacher={"backend": "scripted", "options": {"replies": {"critique": CRITIQUE}}},
        draft={"max_tokens": 32},
        arms=[{"name": objective, "objective": objective}],
        training={"steps": steps, "batch_size": 8, "learning_rate": 5e-3, "max_length": 1024},
        evaluation={"max_tokens": 96, "tasks": [{"task": "arithmetic", "n": 24}]},
    )
    return pipeline.run(load_recipe([path]), folder)


@pytest.mark.timeout(900)
def test_critique_fine_tuning_loses_the_format_and_writes_critiques(student: Path, tmp_path: Path) -> None:
    """First the student learns the task's format from solutions; the drift of what it learns after that is measured."""
    taught = run(tmp_path, student, "sft", steps=200)
    knowing = taught.folder / "checkpoints" / "sft" / "seed0"
    assert taught.summary["arms"]["sft"]["format_rate"] > 0.5
    drifted = run(tmp_path, knowing, "cft", steps=60)
    rates = drifted.summary["drift"]["arithmetic"]["cft"]["rates"]
    assert rates["strict_format"]["base"] > 0.5
    assert rates["strict_format"]["difference_ci95"][1] < 0 < rates["critique_talk"]["difference_ci95"][0]
