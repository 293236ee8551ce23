"""Format drift: in what each arm's replies differ from base's, after training and along it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from plotly.subplots import make_subplots

from cgd.report.figures.figure import Cell, Figure, Look, add_values, categories_down, file_name, label, new_plot, style
from cgd.report.measures import RATES

_KEPT = re.compile(r"(.+)@(\d+)")
_LENGTH = "length"
_TITLES = {**RATES, _LENGTH: "Output tokens (× base)"}

Drift = Mapping[str, Mapping[str, Any]]
"""Parts by arm, of one task."""


class _Point(NamedTuple):
    """A part of an arm's drift after so many steps: percent, or the ratio of lengths."""

    step: int
    value: float
    low: float | None
    high: float | None


def drift_figures(
    task: str, drift: Drift, looks: Mapping[str, Look], training: Sequence[Mapping[str, Any]]
) -> list[Figure]:
    """Two figures of a benchmark: differences to base by arm, and rates along training where checkpoints were kept.

    Args:
        task: label of the benchmark.
        drift: of the summary, for this task.
        looks: of the arms.
        training: accounts of the trainings, which say at what step a selected checkpoint stands.
    """
    figures = [_by_arm(task, drift, looks), _along_training(task, drift, looks, training)]
    return [figure for figure in figures if figure]


def _by_arm(task: str, drift: Drift, looks: Mapping[str, Look]) -> Figure | None:
    arms = {arm: parts["rates"] for arm, parts in drift.items() if not _KEPT.fullmatch(arm)}
    parts = [
        name
        for name in RATES
        if any(rates[name]["difference"] is not None and _tells(rates[name]) for rates in arms.values())
    ]
    plot = new_plot()
    rows: list[tuple[Cell, ...]] = []
    for arm, rates in arms.items():
        shown = {
            RATES[name]: [100 * share for share in (rates[name]["difference"], *rates[name]["difference_ci95"])]
            for name in parts
            if rates[name]["difference"] is not None
        }
        add_values(plot, arm, looks[arm], list(shown), list(shown.values()))
        rows += [(arm, part, *values) for part, values in shown.items()]
    if not rows:
        return None
    style(plot, 130 + len(parts) * (26 + 16 * len(arms)), x_title="difference to base (points)", y_title=None)
    categories_down(plot, len(parts))
    words = "; ".join(f"{arm}, {part}: {value:+.1f} points" for arm, part, value, *_ in rows)
    return Figure(
        file_name("drift", task),
        f"Format drift on {task}: replies against base's to the same prompts, with 95% intervals",
        f"Differences to base on {task}: {words}.",
        plot,
        ("arm", "part", "difference_points", "low", "high"),
        rows,
    )


def _tells(rate: Mapping[str, Any]) -> bool:
    """Whether a rate is anywhere but at zero, before or after training."""
    return bool(rate["rate"] or rate["base"])


def _along_training(
    task: str, drift: Drift, looks: Mapping[str, Look], training: Sequence[Mapping[str, Any]]
) -> Figure | None:
    """One panel a part, one line an arm: base at step 0, the kept checkpoints, and the last one."""
    steps = _steps(drift, training)
    curves = {
        (part, arm): list(_curve(part, [(step, drift[name]) for step, name in sorted(kept.items())]))
        for part in _TITLES
        for arm, kept in steps.items()
    }
    parts = [part for part in _TITLES if any(point.value for arm in steps for point in curves[part, arm])]
    rows = [(arm, _TITLES[part], *point) for part in parts for arm in steps for point in curves[part, arm]]
    if not rows:
        return None
    plot = make_subplots(
        rows=len(parts),
        cols=1,
        shared_xaxes=True,
        subplot_titles=[f"{_TITLES[part]}{'' if part == _LENGTH else ' (%)'}" for part in parts],
        vertical_spacing=0.28 / len(parts),
    )
    for number, part in enumerate(parts, 1):
        for arm in steps:
            _add_curve(plot, number, arm, looks[arm], curves[part, arm])
    style(plot, height=100 + 170 * len(parts), x_title="", y_title=None)
    plot.update_annotations(x=0, xanchor="left", font_size=13)
    plot.update_layout(margin_t=44, legend={"y": 1 + 60 / (100 + 170 * len(parts))})
    plot.update_xaxes(title_text="optimizer step", row=len(parts))
    plot.update_yaxes(rangemode="tozero")
    ends = [
        f"{arm}, {_TITLES[part]}, from {curve[0].value:.3g} to {curve[-1].value:.3g}"
        for (part, arm), curve in curves.items()
        if part in parts and curve
    ]
    return Figure(
        file_name("drift-along-training", task),
        f"Format drift on {task} along training, from base at step 0, with 95% intervals",
        f"Format drift along training on {task}: {'; '.join(ends)}.",
        plot,
        ("arm", "part", "step", "value", "low", "high"),
        rows,
    )


def _steps(drift: Drift, training: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, str]]:
    """Names in `drift` by arm and step, of arms with kept checkpoints; the selected one where it is the last."""
    steps: dict[str, dict[int, str]] = {}
    for name in drift:
        if kept := _KEPT.fullmatch(name):
            steps.setdefault(kept[1], {})[int(kept[2])] = name
    for arm, found in steps.items():
        ends = {
            one.get("steps") if one.get("selected", "last") == "last" else None for one in training if one["arm"] == arm
        }
        if arm in drift and len(ends) == 1 and isinstance(end := ends.pop(), int):
            found[end] = arm
    return steps


def _curve(part: str, measured: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[_Point]:
    """Base's own value, which is 1 for a ratio to base, and that of each checkpoint."""
    factor, key = (1.0, "ratio") if part == _LENGTH else (100.0, "rate")
    measures = [(step, parts["length"] if part == _LENGTH else parts["rates"][part]) for step, parts in measured]
    known = [(step, found) for step, found in measures if found[key] is not None and found["base"] is not None]
    if known:
        yield _Point(0, 1.0 if part == _LENGTH else factor * known[0][1]["base"], None, None)
    for step, found in known:
        yield _Point(step, *(factor * value for value in (found[key], *found["ci95"])))


def _add_curve(plot: Any, row: int, arm: str, look: Look, curve: Sequence[_Point]) -> None:
    plot.add_scatter(
        name=label(arm),
        legendgroup=label(arm),
        showlegend=row == 1,
        mode="lines+markers",
        x=[point.step for point in curve],
        y=[point.value for point in curve],
        error_y={
            "array": [0 if point.high is None else point.high - point.value for point in curve],
            "arrayminus": [0 if point.low is None else point.value - point.low for point in curve],
            "thickness": 1.2,
            "width": 3,
        },
        line={"color": look.colour, "dash": look.dash, "width": 1.8},
        marker={"symbol": look.symbol, "size": 7},
        row=row,
        col=1,
    )
