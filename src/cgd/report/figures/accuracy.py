"""Figures of one benchmark: accuracies, several answers to a prompt, and agreement as a forecast of correctness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cgd.report.figures.figure import (
    COLOURS,
    GRID,
    Cell,
    Figure,
    Look,
    add_values,
    categories_down,
    file_name,
    label,
    new_plot,
    style,
)

Arms = Mapping[str, Mapping[str, Any]]
_READINGS = (
    ("strict", "strict_accuracy", "ci95", Look(COLOURS[1], "circle", "solid")),
    ("flexible", "flexible_accuracy", "flexible_ci95", Look(COLOURS[2], "diamond", "solid")),
)


def task_figures(task: str, arms: Arms, looks: Mapping[str, Look]) -> list[Figure]:
    """All figures of a benchmark that have numbers."""
    figures = [accuracy_figure(task, arms), samples_figure(task, arms, looks), reliability_figure(task, arms, looks)]
    return [figure for figure in figures if figure]


def accuracy_figure(task: str, arms: Arms) -> Figure | None:
    """Strict and flexible accuracy of each arm in percent, with 95% intervals."""
    plot = new_plot()
    rows: list[tuple[Cell, ...]] = []
    for name, accuracy, interval, look in _READINGS:
        shown = {
            arm: [100 * share for share in (numbers[accuracy], *numbers[interval])]
            for arm, numbers in arms.items()
            if numbers[accuracy] is not None
        }
        add_values(plot, name, look, list(shown), list(shown.values()))
        rows += [(arm, name, *values, arms[arm]["n"]) for arm, values in shown.items()]
    if not rows:
        return None
    style(plot, height=130 + 52 * len(arms), x_title="accuracy (%)", y_title=None)
    plot.update_xaxes(rangemode="tozero")
    categories_down(plot, len(arms))
    values = "; ".join(f"{arm} {_in_words(numbers)}" for arm, numbers in arms.items())
    return Figure(
        file_name("accuracy", task),
        f"Accuracy on {task}, with 95% intervals",
        f"Accuracy by arm on {task}: {values}.",
        plot,
        ("arm", "reading", "accuracy_percent", "low", "high", "prompts"),
        rows,
    )


def _in_words(arm: Mapping[str, Any]) -> str:
    strict, flexible = arm["strict_accuracy"], arm["flexible_accuracy"]
    return "no verdicts" if strict is None or flexible is None else f"strict {strict:.1%}, flexible {flexible:.1%}"


def samples_figure(task: str, arms: Arms, looks: Mapping[str, Look]) -> Figure | None:
    """Pass@k (solid) and maj@k (dotted) of each arm by k, where prompts were answered several times."""
    plot = new_plot()
    drawn: set[int] = set()
    rows: list[tuple[Cell, ...]] = []
    for arm, numbers in arms.items():
        for measure, key, dash in (("pass@k", "pass_at_k", "solid"), ("maj@k", "maj_at_k", "dot")):
            curve = [
                (one["k"], *(100 * share for share in (one["rate"], *one["ci95"])), one["n"])
                for one in numbers[key] or ()
                if one["rate"] is not None
            ]
            if curve:
                drawn.update(k for k, *_ in curve)
                _add_curve(plot, f"{arm}, {measure}", looks[arm]._replace(dash=dash), curve)
                rows += [(arm, measure, *point) for point in curve]
    if not rows:
        return None
    style(plot, height=400, x_title="k, answers to a prompt", y_title="right (%)")
    plot.update_xaxes(tickvals=sorted(drawn), type="log")
    plot.update_yaxes(rangemode="tozero")
    ends = [f"{arm} {measure} {value:.1f}% at k = {k}" for arm, measure, k, value, *_ in _last_of_each(rows)]
    return Figure(
        file_name("samples", task),
        f"One of k answers right (pass@k), and the answer most of k give (maj@k), on {task}",
        f"Pass@k and maj@k on {task}: {'; '.join(ends)}.",
        plot,
        ("arm", "measure", "k", "percent", "low", "high", "prompts"),
        rows,
    )


def reliability_figure(task: str, arms: Arms, looks: Mapping[str, Look]) -> Figure | None:
    """How often answers are right by how many other samples give them; on the diagonal agreement is calibrated."""
    plot = new_plot()
    plot.add_scatter(
        x=[0, 100], y=[0, 100], mode="lines", line={"color": COLOURS[0], "dash": "dot"}, name="as agreement says"
    )
    rows: list[tuple[Cell, ...]] = []
    for arm, numbers in arms.items():
        bins = [one for one in (numbers["calibration"] or {}).get("bins", ()) if one["n"]]
        curve = [
            (*(100 * one[key] for key in ("confidence", "accuracy")), *(100 * limit for limit in one["ci95"]), one["n"])
            for one in bins
        ]
        if curve:
            _add_curve(plot, arm, looks[arm], curve)
            rows += [(arm, *point) for point in curve]
    if not rows:
        return None
    style(plot, height=440, x_title="other samples that agree (%)", y_title="right (%)")
    plot.update_xaxes(range=[-3, 103])
    plot.update_yaxes(range=[-3, 103], zerolinecolor=GRID)
    words = [f"{arm}, {agree:.0f}% agree: {right:.0f}% right" for arm, agree, right, *_ in rows]
    return Figure(
        file_name("reliability", task),
        f"Are answers that other samples repeat the right ones? Reliability on {task}, with 95% intervals",
        f"Share of right answers by agreement on {task}: {'; '.join(words)}.",
        plot,
        ("arm", "agreement_percent", "right_percent", "low", "high", "prompts"),
        rows,
    )


def _add_curve(plot: Any, name: str, look: Look, points: Sequence[tuple[float, ...]]) -> None:
    """A line through (x, y, low, high, …) with intervals."""
    plot.add_scatter(
        name=label(name),
        mode="lines+markers",
        x=[point[0] for point in points],
        y=[point[1] for point in points],
        error_y={
            "array": [point[3] - point[1] for point in points],
            "arrayminus": [point[1] - point[2] for point in points],
            "thickness": 1.2,
            "width": 3,
        },
        line={"color": look.colour, "dash": look.dash, "width": 1.8},
        marker={"size": 8, "symbol": look.symbol},
    )


def _last_of_each(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The last row of each arm and measure."""
    return list({row[:2]: row for row in rows}.values())
