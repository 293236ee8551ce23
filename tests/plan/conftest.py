"""The recipe that is planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import save_recipe


@pytest.fixture(scope="session")
def recipe_file(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_recipe(
        tmp_path_factory.mktemp("plan") / "tiny.toml",
        student,
        student={"price": {"input": 1.0, "output": 2.0}},
        teacher={
            "backend": "scripted",
            "options": {"replies": {"critique": "It is wrong.", "refinement": "{solution}"}},
            "price": {"input": 10.0, "output": 20.0},
        },
        critique={"max_tokens": 16},
        refinement={"max_tokens": 64},
        training={"max_length": 1024},
    )
