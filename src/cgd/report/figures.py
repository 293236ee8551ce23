"""Figures as plotly objects: transparent, in mid-tones that read on light and on dark pages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import plotly.graph_objects as go

from cgd.store import Store

COLOURS = ("#8a8f98", "#3f83f8", "#e3742f", "#22a06b", "#a56de2", "#d9487d", "#1aa7b8", "#b58a1b")
GRID = "rgba(128, 128, 128, 0.25)"


class Figure(NamedTuple):
    """A figure, and in words what it shows."""

    caption: str
    description: str
    plot: Any

    @property
    def json(self) -> Any:
        """The plot as plain JSON values."""
        return json.loads(self.plot.to_json())


def new_plot() -> Any:
    """An empty plot."""
    return go.Figure()


def accuracy_figures(summary: Mapping[str, Any]) -> list[Figure]:
    """One figure a task."""
    return [_accuracy(label, numbers["arms"]) for label, numbers in summary["tasks"].items() if numbers["arms"]]


def _accuracy(task: str, arms: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Strict and flexible accuracy of each arm in percent, with 95% intervals."""
    plot = go.Figure()
    readings = (
        ("strict", "strict_accuracy", "ci95", "circle"),
        ("flexible", "flexible_accuracy", "flexible_ci95", "diamond"),
    )
    for colour, (name, accuracy, interval, symbol) in zip(COLOURS[1:], readings, strict=False):
        shown = [(label, arm[accuracy], *arm[interval]) for label, arm in arms.items() if arm[accuracy] is not None]
        plot.add_scatter(
            name=name,
            mode="markers",
            orientation="h",
            y=[escape(label) for label, *_ in shown],
            x=[100 * value for _, value, _, _ in shown],
            error_x={
                "array": [100 * (upper - value) for _, value, _, upper in shown],
                "arrayminus": [100 * (value - lower) for _, value, lower, _ in shown],
                "thickness": 2,
            },
            marker={"color": colour, "size": 11, "symbol": symbol},
        )
    style(plot, height=150 + 56 * len(arms), x_title="accuracy (%)", y_title=None)
    plot.update_xaxes(rangemode="tozero")
    plot.update_yaxes(range=[len(arms) - 0.5, -0.5], type="category")
    plot.update_layout(scattermode="group", scattergap=0.6)
    values = "; ".join(f"{label} {_in_words(arm)}" for label, arm in arms.items())
    return Figure(f"Accuracy on {task}, with 95% intervals", f"Accuracy by arm on {task}: {values}.", plot)


def _in_words(arm: Mapping[str, Any]) -> str:
    strict, flexible = arm["strict_accuracy"], arm["flexible_accuracy"]
    return "no verdicts" if strict is None or flexible is None else f"strict {strict:.1%}, flexible {flexible:.1%}"


_MEASURES = (
    ("loss", "Training loss on the target tokens", "loss (nats a token)"),
    ("entropy", "Entropy of the student at the target tokens, while it learns", "entropy (nats a token)"),
    ("grad_norm", "Gradient norm before clipping", "gradient norm"),
    ("tokens_per_s", "Training speed", "tokens a second"),
)


def training_figures(store: Store) -> list[Figure]:
    """One figure a measure, in it one curve an arm and seed; none where nothing was logged."""
    trainings = [
        (row["arm"], row["seed"], json.loads(row["info"]).get("log", []))
        for row in store.query("SELECT arm, seed, info FROM checkpoints ORDER BY rowid")
    ]
    figures = [_curves(trainings, *measure) for measure in _MEASURES]
    return [figure for figure in figures if figure]


def _curves(
    trainings: Sequence[tuple[str, int, Sequence[Mapping[str, Any]]]], measure: str, caption: str, unit: str
) -> Figure | None:
    """The seeds of an arm share its colour."""
    plot = go.Figure()
    colours: dict[str, str] = {}
    ends = []
    for arm, seed, log in trainings:
        curve = [(entry["step"], entry[measure]) for entry in log if "step" in entry and measure in entry]
        if not curve:
            continue
        plot.add_scatter(
            name=escape(arm),
            legendgroup=escape(arm),
            showlegend=arm not in colours,
            mode="lines" if len(curve) > 1 else "markers",
            x=[step for step, _ in curve],
            y=[value for _, value in curve],
            line={"color": colours.setdefault(arm, COLOURS[(len(colours) + 1) % len(COLOURS)]), "width": 1.8},
        )
        ends.append(f"{arm}, seed {seed}, from {curve[0][1]:.4g} to {curve[-1][1]:.4g}")
    if not ends:
        return None
    style(plot, height=360, x_title="optimizer step", y_title=unit)
    return Figure(caption, f"{caption} by optimizer step, in {unit}: {'; '.join(ends)}.", plot)


def style(plot: Any, height: int, x_title: str, y_title: str | None) -> None:
    """Transparent, in the page's type, legend above."""
    plot.update_layout(
        template="none",
        height=height,
        paper_bgcolor="rgba(0, 0, 0, 0)",
        plot_bgcolor="rgba(0, 0, 0, 0)",
        margin={"l": 12, "r": 12, "t": 12, "b": 12},
        font={"family": "system-ui, sans-serif", "size": 14},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        showlegend=True,
    )
    plot.update_xaxes(title=x_title, gridcolor=GRID, zerolinecolor=GRID, automargin=True)
    plot.update_yaxes(title=y_title, gridcolor=GRID, zerolinecolor=GRID, automargin=True, ticklabelstandoff=6)
