"""One unbroken run with a random-weight student, shared by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgd import pipeline
from cgd.pipeline import RunResult
from cgd.recipe import load_recipe

RECIPE = """
[data]
task = "arithmetic"
n = 8
[student]
model = "{student}"
options = {{ batch_size = 1 }}
[teacher]
backend = "tutor"
[draft]
max_tokens = 8
[[arms]]
name = "cgd"
objective = "cgd"
[[arms]]
name = "sft"
objective = "sft"
[training]
steps = 2
batch_size = 4
learning_rate = 1e-3
[evaluation]
max_tokens = 8
[[evaluation.tasks]]
task = "arithmetic"
n = 6
"""


@pytest.fixture(scope="session")
def recipe_file(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE.format(student=student))
    return path


@pytest.fixture(scope="session")
def finished(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """An unbroken run. Not to be changed."""
    return pipeline.run(
        load_recipe([recipe_file]), tmp_path_factory.mktemp("runs"), command=["cgd", "run", "tiny.toml"]
    )
