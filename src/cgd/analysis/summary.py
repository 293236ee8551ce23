"""The run in numbers: accuracies, paired differences, counts, drops and training, read from the store.

A failed or unscored prediction is not a wrong one. It is counted, and accuracies are over the items that
have a verdict in the arm, paired differences over the items that have one in both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from sqlite3 import Row
from statistics import fmean
from typing import Any

from cgd.analysis.generation import generation_counts, spend
from cgd.analysis.statistics import mcnemar_p, mean_interval, paired_interval
from cgd.store import Store

_PREDICTIONS = """
SELECT task, arm, seed, prompt_id, state, completion_tokens, strict, flexible, format FROM predictions
"""
_LISTED = 10  # ids named in the summary; the store's table `drops` has them all


def summarise(store: Store, first_task: str, arms: Sequence[str]) -> dict[str, Any]:
    """Account of a run, ready for JSON.

    Args:
        store: the run's store.
        first_task: label of the headline benchmark, whose numbers stand at the top level too.
        arms: names of the arms in the order of the tables, `base` first.

    Returns:
        `task`, `arms` and `paired` of the first task; the same for every task under `tasks`; `generation`
        (rows of each generating stage), `spend`, `drops` and `training` (each checkpoint's account but its log).
    """
    rows = store.query(_PREDICTIONS)
    labels = sorted({row["task"] for row in rows}, key=lambda label: (label != first_task, label))
    tasks = {label: _summarise_task([row for row in rows if row["task"] == label], arms) for label in labels}
    training = _training(store)
    headline = tasks.get(first_task, {"arms": {}, "paired": {}})
    return {
        "task": first_task if first_task in tasks else None,
        **headline,
        "tasks": tasks,
        "generation": generation_counts(store),
        "spend": spend(store, training),
        "drops": _drops(store),
        "training": training,
    }


def _summarise_task(rows: Sequence[Row], arms: Sequence[str]) -> dict[str, Any]:
    by_arm = {arm: [row for row in rows if row["arm"] == arm] for arm in arms}
    present = {arm: predictions for arm, predictions in by_arm.items() if predictions}
    pairs = combinations(present, 2)
    return {
        "arms": {arm: _summarise_arm(predictions) for arm, predictions in present.items()},
        "paired": {f"{later}-{earlier}": _paired(present[later], present[earlier]) for earlier, later in pairs},
    }


def _summarise_arm(rows: Sequence[Row]) -> dict[str, Any]:
    """Means over items of their means over seeds; counts are of predictions, over all seeds."""
    strict = _verdicts(rows)
    flexible = _item_means(rows, lambda row: row["flexible"])
    return {
        "strict_accuracy": _mean(strict.values()),
        "flexible_accuracy": _mean(flexible.values()),
        "ci95": _interval(strict),
        "flexible_ci95": _interval(flexible),
        "n": len(strict),
        "seeds": _seeds(rows),
        "format_rate": _mean(_item_means(rows, lambda row: row["format"]).values()),
        "unscored": sum(not _failed(row) and row["strict"] is None for row in rows),
        "failed": sum(_failed(row) for row in rows),
        "truncated": sum(row["state"] == "truncated" for row in rows),
        "mean_tokens": _mean(_item_means(rows, lambda row: row["completion_tokens"]).values()),
    }


def _paired(later: Sequence[Row], earlier: Sequence[Row]) -> dict[str, Any]:
    a_items, b_items = _verdicts(later), _verdicts(earlier)
    both = [item for item in a_items if item in b_items]
    a, b = [a_items[item] for item in both], [b_items[item] for item in both]
    single_seed = _seeds(later) == _seeds(earlier) == 1
    return {
        "difference": _mean([x - y for x, y in zip(a, b, strict=True)]),
        "ci95": list(paired_interval(a, b)) if both else None,
        "n": len(both),
        "p_mcnemar": mcnemar_p(a, b) if both and single_seed else None,
    }


def _verdicts(rows: Sequence[Row]) -> dict[str, float]:
    return _item_means(rows, lambda row: row["strict"])


def _item_means(rows: Sequence[Row], value: Callable[[Row], float | None]) -> dict[str, float]:
    """Mean of a value over seeds by prompt id, leaving out failed predictions and absent values."""
    values: dict[str, list[float]] = {}
    for row in rows:
        number = None if _failed(row) else value(row)
        if number is not None:
            values.setdefault(row["prompt_id"], []).append(number)
    return {item: fmean(numbers) for item, numbers in values.items()}


def _failed(row: Row) -> bool:
    return row["state"] in (None, "failed")


def _seeds(rows: Sequence[Row]) -> int:
    return len({row["seed"] for row in rows})


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return fmean(numbers) if numbers else None


def _interval(items: Mapping[str, float]) -> list[float] | None:
    return list(mean_interval(list(items.values()))) if items else None


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
