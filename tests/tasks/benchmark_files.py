"""What the tests of benchmarks share: real files, files of made-up rows, and a double of the hub."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cgd.plugins import build_task
from cgd.records import Prompt

DATA = Path(os.environ.get("CGD_DATA", Path(__file__).parents[3] / "shared" / "data"))


def real_rows(name: str) -> list[dict[str, Any]]:
    """Rows of a real file, as they are; the test is skipped where it is absent."""
    path = DATA / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not there; CGD_DATA names the folder that holds {name}.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def load_file(task: str, path: Path) -> list[Prompt]:
    """All test prompts of a file."""
    return build_task(task, {"path": str(path)}).load("test", None, 0)


def load_rows(task: str, folder: Path, *rows: dict[str, Any]) -> list[Prompt]:
    """All test prompts of a file with these rows."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return load_file(task, path)


def load_hub(
    monkeypatch: pytest.MonkeyPatch, task: str, *rows: dict[str, Any]
) -> tuple[list[Prompt], list[Sequence[str]]]:
    """All test prompts where the hub has these rows, and what the hub was asked for."""
    asked: list[Sequence[str]] = []

    def load_dataset(*names: str, split: str) -> list[dict[str, Any]]:
        asked.append((*names, split))
        return list(rows)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return build_task(task, {}).load("test", None, 0), asked


def question_of(prompt: Prompt) -> str:
    """The one message of a prompt."""
    (message,) = prompt.messages
    assert message["role"] == "user"
    return message["content"]
