"""The summary as tables of plain text, for any page format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def generation_table(generation: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row a generating stage."""
    rows = [
        (
            stage,
            number(counts["done"]),
            number(counts["truncated"]),
            number(counts["failed"]),
            number(counts["completion_tokens"]),
            ", ".join(f"{name}: {number}" for name, number in counts["failures"].items()) or NOTHING,
            number(counts["broken"]),
        )
        for stage, counts in generation.items()
    ]
    heads = ("Stage", "Done", "Cut off", "Failed", "Output tokens", "Failures by kind", "Control tokens broken")
    return Table("Generated texts", heads, "lrrrrlr", rows)


def verdicts_table(generation: Mapping[str, Mapping[str, Any]]) -> Table:
    """What the critiques say of the drafts, by their own words."""
    names = ("draft right", "draft wrong", "no verdict found")
    verdicts = generation.get("critique", {}).get("verdicts", {})
    rows = list(zip(names, map(number, verdicts.values()), strict=True)) if verdicts else []
    return Table("Critiques by verdict", ("Verdict", "Critiques"), "lr", rows)


def spend_table(spend: Mapping[str, Any]) -> Table:
    """One row a stage, and what a kept row cost."""
    rows = [
        (
            stage,
            number(spent["rows"]),
            number(spent["attempts"]),
            number(spent["prompt_tokens"]),
            number(spent["completion_tokens"]),
            number(spent["cost"], ",.4f") if spent["cost"] else "0",
        )
        for stage, spent in spend["stages"].items()
    ]
    heads = ("Stage", "Rows", "Attempts", "Prompt tokens", "Output tokens", "Cost")
    return Table("Spent, on every attempt at every row in the store", heads, "lrrrrr", rows)


def drops_table(drops: Sequence[Mapping[str, Any]]) -> Table:
    """Records that no arm trains on, by reason."""
    rows = [(drop["stage"], drop["reason"], number(drop["n"]), ", ".join(drop["first"])) for drop in drops]
    return Table("Records left out of training", ("Stage", "Reason", "Records", "First ones"), "llrl", rows)


def training_table(training: Sequence[Mapping[str, Any]]) -> Table:
    """One row a trained checkpoint."""
    rows = [
        (
            account["arm"],
            str(account["seed"]),
            str(account.get("method", NOTHING)),
            number(account.get("rows")),
            number(account.get("steps")),
            number(account.get("context_tokens")),
            number(account.get("target_tokens")),
            number(account["flops"] / 1e12 if "flops" in account else None, ",.1f"),
            number(account.get("final_loss"), ".4f"),
            number(account.get("seconds"), ".1f"),
            str(account.get("selected", "last")),
        )
        for account in training
    ]
    heads = (
        *("Arm", "Seed", "Method", "Rows", "Steps", "Context tokens", "Target tokens"),
        *("TFLOPs", "Final loss", "Seconds", "Checkpoint"),
    )
    return Table("Trained students", heads, "lrlrrrrrrrl", rows)


def number(value: float | None, form: str = ",") -> str:
    """1234 → 1,234, or in another format."""
    return NOTHING if value is None else format(value, form)


def p_value(p: float | None) -> str:
    """0.0004 → < 0.001."""
    if p is None:
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
