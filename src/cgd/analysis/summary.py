"""The run in numbers: accuracies, paired differences, counts, drops and training, read from the store.

A failed or unscored prediction is not a wrong one. It is counted, and accuracies are over the items that
have a verdict in the arm, paired differences over the items that have one in both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from sqlite3 import Row
from typing import Any

from cgd.analysis.generation import generation_counts, spend
from cgd.analysis.significance import holm
from cgd.analysis.tasks import summarise_task
from cgd.analysis.words import task_words
from cgd.store import Store

_PREDICTIONS = """
SELECT task, arm, seed, prompt_id, known_issue, state, completion_tokens, strict, flexible, format, extracted,
       reason
FROM predictions
"""
_LISTED = 10  # ids named in the summary; the store's table `drops` has them all


def summarise(store: Store, first_task: str, arms: Sequence[str]) -> dict[str, Any]:
    """Account of a run, ready for JSON.

    Args:
        store: the run's store.
        first_task: label of the headline benchmark, whose numbers stand at the top level too.
        arms: names of the arms in the order of the tables, `base` first.

    Returns:
        `task`, `arms` and `paired` of the first task; the same and `words` for every task under `tasks`, as
        docs/statistics.md explains; `generation` (rows of each generating stage), `spend`, `drops` and `training`
        (each checkpoint's account but its log).
    """
    rows = store.query(_PREDICTIONS)
    labels = sorted({row["task"] for row in rows}, key=lambda label: (label != first_task, label))
    tasks = _summarise_tasks(rows, labels, arms)
    training = _training(store)
    headline = tasks.get(first_task, {"arms": {}, "paired": {}})
    return {
        "task": first_task if first_task in tasks else None,
        "arms": headline["arms"],
        "paired": headline["paired"],
        "tasks": tasks,
        "generation": generation_counts(store),
        "spend": spend(store, training),
        "drops": _drops(store),
        "training": training,
    }


def _summarise_tasks(rows: Sequence[Row], labels: Sequence[str], arms: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Every benchmark; the pairs of all of them are one family of comparisons, corrected together."""
    tasks = {label: summarise_task([row for row in rows if row["task"] == label], arms) for label in labels}
    pairs = [pair for numbers in tasks.values() for pair in numbers["paired"].values() if pair["n"]]
    for pair, p in zip(pairs, holm([pair["p"] for pair in pairs]), strict=True):
        pair["p_holm"] = p
    for label, numbers in tasks.items():
        numbers["words"] = task_words(label, numbers["arms"], numbers["paired"])
    return tasks


def _drops(store: Store) -> list[dict[str, Any]]:
    """Records that no arm trains on, by stage and reason: how many, and the ids of the first ones."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in store.query("SELECT stage, reason, record_id FROM drops ORDER BY rowid"):
        groups.setdefault((row["stage"], row["reason"]), []).append(row["record_id"])
    return [
        {"stage": stage, "reason": reason, "n": len(ids), "first": ids[:_LISTED]}
        for (stage, reason), ids in groups.items()
    ]


def _training(store: Store) -> list[dict[str, Any]]:
    """Each checkpoint's account, but its log, which the store keeps."""
    rows = store.query("SELECT arm, seed, info FROM checkpoints ORDER BY rowid")
    accounts = [(row["arm"], row["seed"], json.loads(row["info"])) for row in rows]
    return [
        {"arm": arm, "seed": seed, **{key: value for key, value in info.items() if key != "log"}}
        for arm, seed, info in accounts
    ]
