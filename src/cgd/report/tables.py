"""The summary as tables of plain text, for any page format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

NOTHING = "–"


class Table(NamedTuple):
    """A caption, column heads, rows of cells, and one letter a column: `l`eft (words) or `r`ight (numbers)."""

    caption: str
    heads: tuple[str, ...]
    align: str
    rows: Sequence[tuple[str, ...]]


def percent(share: float | None) -> str:
    """0.43 → 43.0%."""
    return NOTHING if share is None else f"{100 * share:.1f}%"


def percent_range(interval: Sequence[float] | None) -> str:
    """[0.363, 0.499] → 36.3% to 49.9%."""
    return NOTHING if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


def points(difference: float | None) -> str:
    """0.395 → +39.5; with a real minus sign; a difference that rounds to nothing has no sign."""
    if difference is None:
        return NOTHING
    text = f"{100 * difference:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def points_range(interval: Sequence[float] | None) -> str:
    """[-0.01, 0.12] → −1.0 to +12.0."""
    return NOTHING if interval is None else f"{points(interval[0])} to {points(interval[1])}"


def distinguishable(paired: Mapping[str, Any]) -> bool:
    """Whether the interval of a difference leaves out zero."""
    interval = paired["ci95"]
    return interval is not None and not interval[0] <= 0 <= interval[1]


def accuracy_table(task: str, arms: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row an arm: what it got right, how sure that is, and what is left out."""
    rows = [
        (
            name,
            percent(arm["strict_accuracy"]),
            percent_range(arm["ci95"]),
            percent(arm["flexible_accuracy"]),
            percent_range(arm["flexible_ci95"]),
            percent(arm["format_rate"]),
            _number(arm["mean_tokens"], ".1f"),
            _number(arm["n"]),
            _number(arm["seeds"]),
            _number(arm["unscored"]),
            _number(arm["failed"]),
            _number(arm["truncated"]),
        )
        for name, arm in arms.items()
    ]
    heads = (
        *("Arm", "Strict accuracy", "95% interval", "Flexible accuracy", "95% interval", "Format followed"),
        *("Mean output tokens", "Prompts", "Seeds", "Unscored", "Failed", "Cut off"),
    )
    return Table(f"Accuracy on {task}", heads, "l" + "r" * 11, rows)


def paired_table(task: str, arms: Iterable[str], paired: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row a pair of arms, measured on the same prompts."""
    pairs = [(f"{later} − {earlier}", paired[f"{later}-{earlier}"]) for earlier, later in combinations(arms, 2)]
    rows = [
        (
            name,
            points(values["difference"]),
            points_range(values["ci95"]),
            _number(values["n"]),
            _p_value(values["p_mcnemar"]),
            "yes" if distinguishable(values) else "no",
        )
        for name, values in pairs
    ]
    heads = ("Arms", "Difference (points)", "95% interval", "Prompts", "McNemar p", "Distinguishable from 0")
    return Table(f"Differences in strict accuracy on {task}", heads, "lrrrrl", rows)


def generation_table(generation: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row a generating stage."""
    rows = [
        (
            stage,
            _number(counts["done"]),
            _number(counts["truncated"]),
            _number(counts["failed"]),
            _number(counts["completion_tokens"]),
            ", ".join(f"{name}: {number}" for name, number in counts["failures"].items()) or NOTHING,
            _number(counts["broken"]),
        )
        for stage, counts in generation.items()
    ]
    heads = ("Stage", "Done", "Cut off", "Failed", "Output tokens", "Failures by kind", "Control tokens broken")
    return Table("Generated texts", heads, "lrrrrlr", rows)


def verdicts_table(generation: Mapping[str, Mapping[str, Any]]) -> Table:
    """What the critiques say of the drafts, by their own words."""
    verdicts = generation.get("critique", {}).get("verdicts", {})
    rows = [tuple(_number(number) for number in verdicts.values())] if verdicts else []
    return Table("Critiques by verdict", ("Draft right", "Draft wrong", "No verdict found"), "rrr", rows)


def spend_table(spend: Mapping[str, Any]) -> Table:
    """One row a stage, and what a kept row cost."""
    rows = [
        (
            stage,
            _number(spent["rows"]),
            _number(spent["attempts"]),
            _number(spent["prompt_tokens"]),
            _number(spent["completion_tokens"]),
            _number(spent["cost"], ",.4f"),
        )
        for stage, spent in spend["stages"].items()
    ]
    heads = ("Stage", "Rows", "Attempts", "Prompt tokens", "Output tokens", "Cost")
    return Table("Spent, on every attempt at every row in the store", heads, "lrrrrr", rows)


def drops_table(drops: Sequence[Mapping[str, Any]]) -> Table:
    """Records that no arm trains on, by reason."""
    rows = [(drop["stage"], drop["reason"], _number(drop["n"]), ", ".join(drop["first"])) for drop in drops]
    return Table("Records left out of training", ("Stage", "Reason", "Records", "First ones"), "llrl", rows)


def training_table(training: Sequence[Mapping[str, Any]]) -> Table:
    """One row a trained checkpoint."""
    rows = [
        (
            account["arm"],
            str(account["seed"]),
            str(account.get("method", NOTHING)),
            _number(account.get("rows")),
            _number(account.get("steps")),
            _number(account.get("context_tokens")),
            _number(account.get("target_tokens")),
            _number(account["flops"] / 1e12 if "flops" in account else None, ",.1f"),
            _number(account.get("final_loss"), ".4f"),
            _number(account.get("seconds"), ".1f"),
            str(account.get("selected", "last")),
        )
        for account in training
    ]
    heads = (
        *("Arm", "Seed", "Method", "Rows", "Steps", "Context tokens", "Target tokens"),
        *("TFLOPs", "Final loss", "Seconds", "Checkpoint"),
    )
    return Table("Trained students", heads, "lrlrrrrrrrl", rows)


def _number(value: float | None, form: str = ",") -> str:
    return NOTHING if value is None else format(value, form)


def _p_value(p: float | None) -> str:
    if p is None:
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
