"""One benchmark in numbers: every arm's accuracies, spread and samples, and every pair of arms on the same items.

An item is a prompt, a cell the item under one training seed: the mean of its samples that have a verdict. The item's
value is the mean of its cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations
from operator import ne
from sqlite3 import Row
from statistics import fmean, stdev
from typing import Any

import numpy as np

from cgd.analysis.calibration import calibration
from cgd.analysis.samples import Sample, agreement, ks, majority_at_k, normalised, pass_at_k
from cgd.analysis.seeds import compare_over_seeds, seeds_interval
from cgd.analysis.significance import detectable_with, mcnemar_p, minimum_detectable_difference
from cgd.analysis.statistics import FloatArray, mean_interval, paired_interval

Cells = dict[str, dict[int, float]]
"""A value by prompt id and seed."""
Groups = dict[str, dict[int, list[Sample]]]
"""The samples that have a verdict, by prompt id and seed."""

_LISTED = 10
"""Prompts named for each reason; the store's view `predictions` has them all."""


def summarise_task(rows: Sequence[Row], arms: Sequence[str]) -> dict[str, Any]:
    """Accuracies and paired differences of one benchmark.

    Args:
        rows: of the view `predictions`.
        arms: names in the order of the tables; those without rows are left out.

    Returns:
        `arms` by name and `paired` by `<later>-<earlier>`; docs/statistics.md says what they hold. `p_holm` of the
        pairs is None: it needs the pairs of all benchmarks.
    """
    by_arm = {arm: [row for row in rows if row["arm"] == arm] for arm in arms}
    present = {arm: predictions for arm, predictions in by_arm.items() if predictions}
    return {
        "arms": {arm: _summarise_arm(predictions) for arm, predictions in present.items()},
        "paired": {
            f"{later}-{earlier}": {"a": later, "b": earlier, **_paired(present[later], present[earlier])}
            for earlier, later in combinations(present, 2)
        },
    }


def _summarise_arm(rows: Sequence[Row]) -> dict[str, Any]:
    """Means are over items; counts are of predictions, over all seeds and samples."""
    strict = _cells(rows, lambda row: row["strict"])
    flexible = _item_means(_cells(rows, lambda row: row["flexible"]))
    samples = _samples(rows)
    return {
        **_accuracy(_item_means(strict)),
        "flexible_accuracy": _mean(flexible.values()),
        "flexible_ci95": _interval(flexible.values()),
        "n_items": len({row["prompt_id"] for row in rows}),
        "seeds": len({row["seed"] for row in rows}),
        "samples": samples,
        "format_rate": _mean(_item_means(_cells(rows, lambda row: row["format"])).values()),
        "unscored": sum(not _failed(row) and row["strict"] is None for row in rows),
        "unscored_reasons": _unscored_reasons(rows),
        "failed": sum(_failed(row) for row in rows),
        "truncated": sum(row["state"] == "truncated" for row in rows),
        "mean_tokens": _mean(_item_means(_cells(rows, lambda row: row["completion_tokens"])).values()),
        "clean": _clean(strict, {row["prompt_id"] for row in rows if row["known_issue"] is not None}),
        **_seed_spread(strict),
        **_sampled(_groups(rows), samples),
    }


def _unscored_reasons(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Why predictions have no verdict: how many, and the first of their prompts, by the grader's reason."""
    prompts: dict[str, list[str]] = {}
    for row in rows:
        if not _failed(row) and row["strict"] is None:
            prompts.setdefault(row["reason"] or "not graded", []).append(row["prompt_id"])
    return {
        reason: {"n": len(ids), "first": list(dict.fromkeys(ids))[:_LISTED]} for reason, ids in sorted(prompts.items())
    }


def _accuracy(items: Mapping[str, float]) -> dict[str, Any]:
    return {"strict_accuracy": _mean(items.values()), "ci95": _interval(items.values()), "n": len(items)}


def _clean(strict: Cells, known: set[str]) -> dict[str, Any]:
    items = _item_means({item: cells for item, cells in strict.items() if item not in known})
    return {**_accuracy(items), "known": len(known)}


def _seed_spread(strict: Cells) -> dict[str, Any]:
    by_seed: dict[int, list[float]] = {}
    for cells in strict.values():
        for seed, value in cells.items():
            by_seed.setdefault(seed, []).append(value)
    accuracies = [fmean(by_seed[seed]) for seed in sorted(by_seed)]
    interval = seeds_interval(accuracies)
    return {
        "seed_accuracies": accuracies,
        "seed_sd": stdev(accuracies) if len(accuracies) > 1 else None,
        "seeds_ci95": None if interval is None else list(interval),
    }


def _sampled(groups: Groups, samples: int) -> dict[str, Any]:
    if samples < 2:
        return dict.fromkeys(("pass_at_k", "maj_at_k", "consistency", "calibration"))
    return {
        "pass_at_k": [{"k": k, **_rate(groups, k, partial(pass_at_k, k=k))} for k in ks(samples)],
        "maj_at_k": [{"k": k, **_rate(groups, k, partial(majority_at_k, k=k))} for k in ks(samples)],
        "consistency": _rate(groups, 2, agreement),
        "calibration": calibration({item: list(seeds.values()) for item, seeds in groups.items()}),
    }


def _rate(groups: Groups, least: int, value: Callable[[Sequence[Sample]], float]) -> dict[str, Any]:
    """Mean over the items of a value of their groups of at least so many samples."""
    cells = {
        item: {seed: value(group) for seed, group in seeds.items() if len(group) >= least}
        for item, seeds in groups.items()
    }
    items = _item_means({item: values for item, values in cells.items() if values}).values()
    return {"rate": _mean(items), "ci95": _interval(items), "n": len(items)}


def _paired(later: Sequence[Row], earlier: Sequence[Row]) -> dict[str, Any]:
    a_cells, b_cells = (_cells(rows, lambda row: row["strict"]) for rows in (later, earlier))
    both = [item for item in a_cells if item in b_cells]
    if not both:
        return {"n": 0, **dict.fromkeys(("difference", "ci95", "p", "p_mcnemar", "p_holm", "mdd"))}
    a, b = ([fmean(cells[item].values()) for item in both] for cells in (a_cells, b_cells))
    difference = fmean(a) - fmean(b)
    if all(_samples(rows) == len({row["seed"] for row in rows}) == 1 for rows in (later, earlier)):
        interval, p = paired_interval(a, b), mcnemar_p(a, b)
        p_mcnemar, mdd = p, minimum_detectable_difference(len(both), fmean(map(ne, a, b)))
    else:
        interval, p = compare_over_seeds(_matrix(a_cells, both), _matrix(b_cells, both))
        p_mcnemar, mdd = None, detectable_with(interval)
    return {
        **{"n": len(both), "difference": difference, "ci95": list(interval)},
        **{"p": p, "p_mcnemar": p_mcnemar, "p_holm": None, "mdd": mdd},
    }


def _matrix(cells: Cells, items: Sequence[str]) -> FloatArray:
    """Values by item and seed, NaN where there is none; without seeds that have none at all."""
    seeds = sorted({seed for item in items for seed in cells[item]})
    return np.array([[cells[item].get(seed, np.nan) for seed in seeds] for item in items])


def _cells(rows: Iterable[Row], value: Callable[[Row], float | None]) -> Cells:
    """Mean of a value over samples by prompt id and seed, without failed predictions and absent values."""
    found: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        number = None if _failed(row) else value(row)
        if number is not None:
            found.setdefault(row["prompt_id"], {}).setdefault(row["seed"], []).append(number)
    return {item: {seed: fmean(numbers) for seed, numbers in seeds.items()} for item, seeds in found.items()}


def _groups(rows: Iterable[Row]) -> Groups:
    groups: Groups = {}
    for row in rows:
        if not _failed(row) and row["strict"] is not None:
            answer = None if row["extracted"] is None else normalised(row["extracted"])
            sample = Sample(answer, bool(row["strict"]))
            groups.setdefault(row["prompt_id"], {}).setdefault(row["seed"], []).append(sample)
    return groups


def _samples(rows: Iterable[Row]) -> int:
    """How many answers were asked for to each prompt under each seed."""
    return max(Counter((row["prompt_id"], row["seed"]) for row in rows).values())


def _item_means(cells: Cells) -> dict[str, float]:
    return {item: fmean(seeds.values()) for item, seeds in cells.items()}


def _failed(row: Row) -> bool:
    return row["state"] in (None, "failed")


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return fmean(numbers) if numbers else None


def _interval(values: Iterable[float]) -> list[float] | None:
    numbers = list(values)
    return list(mean_interval(numbers)) if numbers else None
