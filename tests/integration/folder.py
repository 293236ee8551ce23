"""What a run folder holds."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
# Everything of a store that the recipe decides; not when, how fast and at which attempt it came about.
DECIDED = {
    "replies": "key, stage, prompt_id, upstream_key, sample, messages, backend, state, text, raw, parser, "
    "finish_reason, prompt_tokens, completion_tokens, error_class, error",
    "prompts": "*",
    "current": "*",
    "grades": "*",
    "drops": "*",
}


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "run.sqlite")) as database:
        return database.execute(sql).fetchall()


def decided(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    return {table: sorted(query(folder, f"SELECT {columns} FROM {table}")) for table, columns in DECIDED.items()}


def stages(folder: Path) -> Counter[str]:
    return Counter(stage for (stage,) in query(folder, "SELECT stage FROM replies"))


def times(folder: Path) -> dict[str, int]:
    """When each file was last written, apart from the store's own and the lock."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("run.")]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
