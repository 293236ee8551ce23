"""One unbroken run with a random-weight student, shared by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgd import pipeline
from cgd.pipeline import RunResult
from cgd.recipe import load_recipe
from tests.tiny import save_recipe


@pytest.fixture(scope="session")
def recipe_file(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_recipe(tmp_path_factory.mktemp("recipe") / "tiny.toml", student)


@pytest.fixture(scope="session")
def finished(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """An unbroken run. Not to be changed."""
    return pipeline.run(
        load_recipe([recipe_file]), tmp_path_factory.mktemp("runs"), command=["cgd", "run", "tiny.toml"]
    )
