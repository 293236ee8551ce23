"""Tables of one benchmark: accuracies, seeds, samples, and differences between arms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from statistics import fmean
from typing import Any

from cgd.report.tables import (
    NOTHING,
    Table,
    distinguishable,
    number,
    p_value,
    percent,
    percent_range,
    points,
    points_range,
)


def task_tables(task: str, numbers: Mapping[str, Any]) -> list[Table]:
    """All tables of a benchmark that have rows."""
    arms = numbers["arms"]
    tables = [
        accuracy_table(task, arms),
        paired_table(task, arms, numbers["paired"]),
        *(
            make(task, arms)
            for make in (unscored_table, seeds_table, clean_table, samples_table, calibration_table, forecast_table)
        ),
    ]
    return [table for table in tables if table.rows]


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
            number(arm["mean_tokens"], ".1f"),
            number(arm["n"]),
            number(arm["seeds"]),
            number(arm["unscored"]),
            number(arm["failed"]),
            number(arm["truncated"]),
        )
        for name, arm in arms.items()
    ]
    heads = (
        *("Arm", "Strict accuracy", "95% interval", "Flexible accuracy", "95% interval", "Format followed"),
        *("Mean output tokens", "Prompts", "Seeds", "Unscored", "Failed", "Cut off"),
    )
    return Table(f"Accuracy on {task}", heads, "l" + "r" * 11, rows)


_UNSCORED = {
    "timeout": "the comparison was stopped at its time limit",
    "error:GoldNotParsed": "the reference answer can't be read",
    "error:checkers": "the benchmark's checkers can't tell",
    "not graded": "no grade is stored",
}


def unscored_table(task: str, arms: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row an arm and reason for which predictions have no verdict."""
    rows = [
        (
            name,
            _UNSCORED.get(reason, f"the comparison failed ({reason.removeprefix('error:')})"),
            number(found["n"]),
            ", ".join(found["first"][:3]),
        )
        for name, arm in arms.items()
        for reason, found in arm["unscored_reasons"].items()
    ]
    return Table(f"Unscored predictions on {task}", ("Arm", "Reason", "Predictions", "First prompts"), "llrl", rows)


def seeds_table(task: str, arms: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row an arm that was trained with several seeds: how far another training may move its accuracy."""
    rows = [
        (
            name,
            ", ".join(map(percent, arm["seed_accuracies"])),
            percent(fmean(arm["seed_accuracies"])),
            points(arm["seed_sd"]).lstrip("+"),
            percent_range(arm["seeds_ci95"]),
        )
        for name, arm in arms.items()
        if arm["seeds"] > 1 and arm["seed_accuracies"]
    ]
    heads = ("Arm", "Strict accuracy of each seed", "Mean", "Standard deviation (points)", "95% interval for new seeds")
    return Table(f"Training seeds on {task}", heads, "llrrr", rows)


def clean_table(task: str, arms: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row an arm, where prompts of the benchmark are known to be defective: accuracy without them."""
    rows = [
        (
            name,
            percent(arm["strict_accuracy"]),
            percent(arm["clean"]["strict_accuracy"]),
            percent_range(arm["clean"]["ci95"]),
            number(arm["clean"]["n"]),
            number(arm["clean"]["known"]),
        )
        for name, arm in arms.items()
        if arm["clean"]["known"]
    ]
    heads = ("Arm", "All prompts", "Without known defects", "95% interval", "Prompts", "Known defects")
    return Table(f"Accuracy on {task} without prompts that have a known defect", heads, "lrrrrr", rows)


def samples_table(task: str, arms: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row an arm and k, where prompts were answered several times."""
    rows = [
        (
            name,
            str(passed["k"]),
            *_rate(passed),
            *_rate(major),
            *(_rate(arm["consistency"]) if passed["k"] == arm["pass_at_k"][-1]["k"] else (NOTHING, NOTHING)),
        )
        for name, arm in arms.items()
        for passed, major in zip(arm["pass_at_k"] or (), arm["maj_at_k"] or (), strict=True)
    ]
    heads = ("Arm", "k", "Pass@k", "95% interval", "maj@k", "95% interval", "Samples that agree", "95% interval")
    return Table(f"Several answers to a prompt on {task}", heads, "lrrrrrrr", rows)


def calibration_table(task: str, arms: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row an arm and share of samples that agree: how often answers of that support are right."""
    rows = [
        (
            name,
            f"{percent(bin_['low'])} to {percent(bin_['high'])}",
            percent(bin_["confidence"]),
            percent(bin_["accuracy"]),
            percent_range(bin_["ci95"]),
            number(bin_["n"]),
        )
        for name, arm in arms.items()
        for bin_ in (arm["calibration"] or {}).get("bins", ())
        if bin_["n"]
    ]
    heads = ("Arm", "Share of samples that agree", "Mean", "Right", "95% interval", "Answers")
    return Table(f"Agreement against correctness on {task}", heads, "lrrrrr", rows)


def forecast_table(task: str, arms: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row an arm and measure of agreement as a forecast of correctness."""
    names = {"ece": "Expected calibration error", "brier": "Brier score", "auroc": "Area under the ROC curve"}
    rows = [
        (name, title, f"{scores[key]:.3f}", f"{scores[f'{key}_ci95'][0]:.3f} to {scores[f'{key}_ci95'][1]:.3f}")
        for name, arm in arms.items()
        if (scores := arm["calibration"])
        for key, title in names.items()
        if scores[key] is not None
    ]
    return Table(
        f"Agreement as a forecast of correctness on {task}", ("Arm", "Measure", "Value", "95% interval"), "llrr", rows
    )


def paired_table(task: str, arms: Iterable[str], paired: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row a pair of arms, measured on the same prompts."""
    pairs = [(f"{later} − {earlier}", paired[f"{later}-{earlier}"]) for earlier, later in combinations(arms, 2)]
    rows = [
        (
            name,
            points(values["difference"]),
            points_range(values["ci95"]),
            number(values["n"]),
            p_value(values["p"]),
            p_value(values["p_holm"]),
            points(values["mdd"]).lstrip("+"),
            "yes" if distinguishable(values) else "no",
        )
        for name, values in pairs
    ]
    heads = (
        *("Arms", "Difference (points)", "95% interval", "Prompts", "p", "p after Holm"),
        *("Detectable difference (points)", "Distinguishable from 0"),
    )
    return Table(f"Differences in strict accuracy on {task}", heads, "lrrrrrrl", rows)


def _rate(values: Mapping[str, Any]) -> tuple[str, str]:
    return percent(values["rate"]), percent_range(values["ci95"])
