"""Several runs on the same benchmark prompts: accuracies of every student, and differences between those of two runs.

Predictions are paired by prompt id, which is bound to the prompt's content: what two runs asked in other words, or
not at all, is no pair.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from cgd.analysis.significance import holm
from cgd.analysis.tasks import summarise_task
from cgd.analysis.words import pair_words
from cgd.errors import UserError
from cgd.recipe import flatten
from cgd.store import Store
from cgd.stored import run_recipe

_COLUMNS = (
    *("task", "arm", "seed", "prompt_id", "known_issue", "state", "completion_tokens"),
    *("strict", "flexible", "format", "extracted"),
)
_TOLD_APART = ("student", "teacher", "evaluation", "data", "training", "arms", "seed")
"""Sections of two recipes whose differences may explain one of the results."""


def compare(folders: Sequence[Path], arms: Sequence[str] = ()) -> dict[str, Any]:
    """Compare the students of several runs.

    Args:
        folders: of the runs, two or more.
        arms: names of the arms to compare, `base` among them if wanted; all where empty.

    Returns:
        By task: `arms` and `paired` as `cgd.analysis.tasks.summarise_task` has them, where a student is named
        `RUN/ARM` and pairs are of two runs, `p_holm` corrected over all pairs of all tasks; and `words`. Under
        `recipes` what differs between the runs' recipes, by key and run.

    Raises:
        UserError: fewer than two runs, a folder that holds none, or no benchmark or student in common.
    """
    names = _names(folders)
    if len(folders) < 2:
        raise UserError(f"give two runs or more to compare; got {len(folders)}")
    with closing(_predictions(names)) as database:
        tasks = _tasks(database, list(names), arms)
    pairs = [pair for numbers in tasks.values() for pair in numbers["paired"].values() if pair["n"]]
    for pair, p in zip(pairs, holm([pair["p"] for pair in pairs]), strict=True):
        pair["p_holm"] = p
    for numbers in tasks.values():
        numbers["words"] = [*_coverage(numbers), *map(pair_words, numbers["paired"].values())]
    return {"runs": {name: str(folder) for name, folder in names.items()}, "tasks": tasks, "recipes": _recipes(names)}


def _names(folders: Sequence[Path]) -> dict[str, Path]:
    """Runs by the names of their folders, or by their paths where two have one name."""
    names = [folder.resolve().name for folder in folders]
    plain = len(set(names)) == len(names)
    found = {name if plain else str(folder): folder for name, folder in zip(names, folders, strict=True)}
    if len(found) < len(folders):
        raise UserError(f"the same run twice: {', '.join(map(str, folders))}; give different ones")
    return found


def _predictions(runs: Mapping[str, Path]) -> sqlite3.Connection:
    """All runs' predictions in one table in memory, arms named `RUN/ARM`; prompts of a run in their order."""
    for folder in runs.values():
        if not (folder / "run.sqlite").is_file():
            raise UserError(f"{folder} holds no run (run.sqlite); start one with cgd run")
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    database.execute(f"CREATE TABLE predictions (run, {', '.join(_COLUMNS)})")
    marks = ", ".join("?" * (len(_COLUMNS) + 1))
    for name, folder in runs.items():
        with closing(Store(folder / "run.sqlite")) as store:
            rows = store.query(f"SELECT {', '.join(_COLUMNS)} FROM predictions")
        named = [(name, row["task"], f"{name}/{row['arm']}", *tuple(row)[2:]) for row in rows]
        database.executemany(f"INSERT INTO predictions VALUES ({marks})", named)
    return database


def _tasks(database: sqlite3.Connection, runs: Sequence[str], arms: Sequence[str]) -> dict[str, dict[str, Any]]:
    found = [tuple(row) for row in database.execute("SELECT DISTINCT task, run, arm FROM predictions")]
    wanted = {f"{run}/{arm}" for run in runs for arm in arms}
    kept = [(task, run, arm) for task, run, arm in found if not arms or arm in wanted]
    shared = [
        task
        for task in dict.fromkeys(task for task, _, _ in kept)
        if len({run for other, run, _ in kept if other == task}) > 1
    ]
    if not shared:
        raise UserError(f"these runs have no benchmark and students in common; there are: {_listed(found)}")
    tasks = {}
    for task in shared:
        students = {arm: run for other, run, arm in kept if other == task}
        rows = database.execute("SELECT * FROM predictions WHERE task = ? ORDER BY rowid", (task,)).fetchall()
        numbers = summarise_task(rows, list(students))
        of_two_runs = {
            name: pair for name, pair in numbers["paired"].items() if students[pair["a"]] != students[pair["b"]]
        }
        tasks[task] = {"arms": numbers["arms"], "paired": of_two_runs}
    return tasks


def _listed(found: Sequence[tuple[str, str, str]]) -> str:
    return ", ".join(f"{arm} on {task}" for task, _, arm in sorted(found)) or "no predictions at all"


def _coverage(numbers: Mapping[str, Any]) -> list[str]:
    """Say so where pairs lack prompts that one of the two students answered."""
    arms = numbers["arms"]
    lacking = [
        pair for pair in numbers["paired"].values() if pair["n"] < max(arms[pair["a"]]["n"], arms[pair["b"]]["n"])
    ]
    if not lacking:
        return []
    least = min(lacking, key=lambda pair: pair["n"])
    a, b = least["a"], least["b"]
    return [
        f"Differences are over prompts that both students have a verdict on: {least['n']}, where {a} has "
        f"{arms[a]['n']} and {b} {arms[b]['n']}."
    ]


def _recipes(runs: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Values of the keys that differ, by key and run; None where a recipe does not have it."""
    leaves = {name: flatten(run_recipe(folder).model_dump(mode="json")) for name, folder in runs.items()}
    keys = sorted({key for each in leaves.values() for key in each if key.split(".")[0] in _TOLD_APART})
    values = {key: {name: each.get(key) for name, each in leaves.items()} for key in keys}
    return {key: each for key, each in values.items() if len({repr(value) for value in each.values()}) > 1}
