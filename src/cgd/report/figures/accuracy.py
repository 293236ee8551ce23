"""Accuracies with their intervals: of one benchmark by arm, and of all benchmarks side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cgd.report.figures.figure import (
    COLOURS,
    Cell,
    Figure,
    Look,
    add_values,
    categories_down,
    counted,
    file_name,
    new_plot,
    style,
)
from cgd.report.tables import percent, percent_range

Arms = Mapping[str, Mapping[str, Any]]
_Reading = tuple[str, str, str, Look]
_READINGS: tuple[_Reading, ...] = (
    ("strict", "strict_accuracy", "ci95", Look(COLOURS[1], "circle", "solid")),
    ("flexible", "flexible_accuracy", "flexible_ci95", Look(COLOURS[2], "diamond", "solid")),
)


def accuracy_figure(task: str, arms: Arms) -> Figure | None:
    """Strict and flexible accuracy of each arm in percent, with 95% intervals."""
    plot = new_plot()
    rows: list[tuple[Cell, ...]] = []
    for name, accuracy, interval, look in _READINGS:
        shown = {
            arm: _in_percent(numbers, accuracy, interval) for arm, numbers in arms.items() if _has_verdict(numbers)
        }
        add_values(plot, name, look, list(shown), list(shown.values()))
        rows += [(arm, name, *values, arms[arm]["n"]) for arm, values in shown.items()]
    if not rows:
        return None
    style(plot, height=130 + 52 * len(arms), x_title="accuracy (%)", y_title=None)
    plot.update_xaxes(rangemode="tozero")
    categories_down(plot, len(arms))
    values = "; ".join(f"{arm} {_in_words(numbers)}" for arm, numbers in arms.items())
    prompts = counted((numbers["n"] for numbers in arms.values() if _has_verdict(numbers)), "prompt")
    return Figure(
        file_name("accuracy", task),
        f"Accuracy on {task}, with 95% intervals ({prompts})",
        f"Accuracy by arm on {task}: {values}.",
        plot,
        ("arm", "reading", "accuracy_percent", "low", "high", "prompts"),
        rows,
    )


def benchmarks_figure(tasks: Mapping[str, Arms], looks: Mapping[str, Look]) -> Figure | None:
    """Strict accuracy of every arm on every benchmark, where there are several; of a single arm the flexible too."""
    if len(tasks) < 2:
        return None
    plot = new_plot()
    rows: list[tuple[Cell, ...]] = []
    for name, look, arm, (reading, accuracy, interval, _) in _series(tasks, looks):
        shown = {
            task: _in_percent(arms[arm], accuracy, interval)
            for task, arms in tasks.items()
            if arm in arms and _has_verdict(arms[arm])
        }
        add_values(plot, name, look, [_with_n(task, tasks[task]) for task in shown], list(shown.values()))
        rows += [(task, arm, reading, *values, tasks[task][arm]["n"]) for task, values in shown.items()]
    if not rows:
        return None
    style(plot, height=120 + (len(tasks) + 1) * (26 + 14 * len(plot.data)), x_title="accuracy (%)", y_title=None)
    plot.update_xaxes(rangemode="tozero")
    categories_down(plot, len(tasks))
    readings = " and ".join(dict.fromkeys(str(reading) for _, _, reading, *_ in rows)).capitalize()
    words = "; ".join(
        f"{task}, {arm}, {reading} {value:.1f}% ({low:.1f}% to {high:.1f}%)"
        for task, arm, reading, value, low, high, _ in rows
    )
    return Figure(
        "accuracy-by-benchmark",
        f"{readings} accuracy on all benchmarks, with 95% intervals (n: prompts)",
        f"Accuracy by benchmark: {words}.",
        plot,
        ("benchmark", "arm", "reading", "accuracy_percent", "low", "high", "prompts"),
        rows,
    )


def _series(tasks: Mapping[str, Arms], looks: Mapping[str, Look]) -> list[tuple[str, Look, str, _Reading]]:
    """What is drawn of every benchmark: name, look, arm and reading."""
    arms = list(dict.fromkeys(arm for numbers in tasks.values() for arm in numbers))
    if len(arms) == 1:
        return [(f"{arms[0]}, {reading[0]}", reading[3], arms[0], reading) for reading in _READINGS]
    return [(arm, looks[arm], arm, _READINGS[0]) for arm in arms]


def _with_n(task: str, arms: Arms) -> str:
    numbers = sorted(arm["n"] for arm in arms.values() if _has_verdict(arm))
    prompts = " to ".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))
    return f"{task} (n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{prompts})"


def _has_verdict(arm: Mapping[str, Any]) -> bool:
    return arm["strict_accuracy"] is not None and arm["flexible_accuracy"] is not None


def _in_percent(arm: Mapping[str, Any], accuracy: str, interval: str) -> list[float]:
    return [100 * share for share in (arm[accuracy], *arm[interval])]


def _in_words(arm: Mapping[str, Any]) -> str:
    if not _has_verdict(arm):
        return "no verdicts"
    return ", ".join(f"{name} {percent(arm[key])} ({percent_range(arm[ends])})" for name, key, ends, _ in _READINGS)
