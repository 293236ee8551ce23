"""Curves of the trainings, as the trainer logged them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cgd.report.figures.figure import Cell, Figure, Look, file_name, label, new_plot, style
from cgd.store import Store

_MEASURES = (
    ("loss", "Training loss on the target tokens", "loss (nats a token)"),
    ("entropy", "Entropy of the student at the target tokens, while it learns", "entropy (nats a token)"),
    ("grad_norm", "Gradient norm before clipping", "gradient norm"),
    ("tokens_per_s", "Training speed", "tokens a second"),
)

Training = tuple[str, int, Sequence[Mapping[str, Any]]]
"""Arm, seed, and log."""


def training_figures(store: Store, looks: Mapping[str, Look]) -> list[Figure]:
    """One figure a measure, in it one curve an arm and seed; none where nothing was logged."""
    trainings = [
        (row["arm"], row["seed"], json.loads(row["info"]).get("log", []))
        for row in store.query("SELECT arm, seed, info FROM checkpoints ORDER BY rowid")
    ]
    figures = [_curves(trainings, looks, *measure) for measure in _MEASURES]
    return [figure for figure in figures if figure]


def _curves(
    trainings: Sequence[Training], looks: Mapping[str, Look], measure: str, caption: str, unit: str
) -> Figure | None:
    """The seeds of an arm share its look."""
    plot = new_plot()
    named: set[str] = set()
    rows: list[tuple[Cell, ...]] = []
    ends = []
    for arm, seed, log in trainings:
        curve = [(entry["step"], entry[measure]) for entry in log if "step" in entry and measure in entry]
        if not curve:
            continue
        look = looks[arm]
        plot.add_scatter(
            name=label(arm),
            legendgroup=label(arm),
            showlegend=arm not in named,
            mode="lines" if len(curve) > 1 else "markers",
            x=[step for step, _ in curve],
            y=[value for _, value in curve],
            line={"color": look.colour, "dash": look.dash, "width": 1.8},
            marker={"symbol": look.symbol},
        )
        named.add(arm)
        rows += [(arm, seed, step, value) for step, value in curve]
        ends.append(f"{arm}, seed {seed}, from {curve[0][1]:.4g} to {curve[-1][1]:.4g}")
    if not rows:
        return None
    style(plot, height=360, x_title="optimizer step", y_title=unit)
    description = f"{caption} by optimizer step, in {unit}: {'; '.join(ends)}."
    name = file_name("training", measure)
    return Figure(name, caption, description, plot, ("arm", "seed", "step", file_name(unit).replace("-", "_")), rows)
