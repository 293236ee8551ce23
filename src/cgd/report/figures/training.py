"""Curves of the trainings, as the trainer logged them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from cgd.report.figures.figure import Figure, Look, file_name, label, new_plot, style
from cgd.store import Store

_MEASURES = (
    ("loss", "Training loss on the target tokens", "loss (nats a token)"),
    ("entropy", "Entropy of the student at the target tokens, while it learns", "entropy (nats a token)"),
    ("grad_norm", "Gradient norm before clipping", "gradient norm"),
    ("tokens_per_s", "Training speed", "tokens a second"),
)

Training = tuple[str, int, Sequence[Mapping[str, Any]]]
"""Arm, seed, and log."""
Curve = Mapping[int, float]
"""Value by optimizer step."""


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
    """One line an arm; where it has several seeds, a thick one for their mean and thin ones for each."""
    plot = new_plot()
    curves: dict[str, dict[int, Curve]] = {}
    for arm, seed, log in trainings:
        logged: Curve = {entry["step"]: entry[measure] for entry in log if "step" in entry and measure in entry}
        if logged:
            curves.setdefault(arm, {})[seed] = logged
    if not curves:
        return None
    for arm, seeds in curves.items():
        if len(seeds) > 1:
            for curve in seeds.values():
                _add_line(plot, arm, looks[arm]._replace(dash="solid"), curve, faint=True)
        _add_line(plot, arm, looks[arm], _mean(list(seeds.values())))
    style(plot, height=360, x_title="optimizer step", y_title=unit)
    plot.update_yaxes(rangemode="tozero")
    ends = [
        f"{arm}, seed {seed}, from {next(iter(curve.values())):.4g} to {list(curve.values())[-1]:.4g}"
        for arm, seeds in curves.items()
        for seed, curve in seeds.items()
    ]
    several = any(len(seeds) > 1 for seeds in curves.values())
    return Figure(
        name=file_name("training", measure),
        caption=f"{caption}{': mean over seeds, and each seed thin' if several else ''}",
        description=f"{caption} by optimizer step, in {unit}: {'; '.join(ends)}.",
        plot=plot,
        heads=("arm", "seed", "step", file_name(unit).replace("-", "_")),
        rows=[
            (arm, seed, step, value)
            for arm, seeds in curves.items()
            for seed, curve in seeds.items()
            for step, value in curve.items()
        ],
        half=True,
    )


def _mean(curves: Sequence[Curve]) -> Curve:
    """At the steps that all of them have."""
    return {step: fmean(curve[step] for curve in curves) for step in curves[0] if all(step in one for one in curves)}


def _add_line(plot: Any, arm: str, look: Look, curve: Curve, *, faint: bool = False) -> None:
    plot.add_scatter(
        name=label(arm),
        legendgroup=label(arm),
        showlegend=not faint,
        mode="lines" if len(curve) > 1 else "markers",
        x=list(curve),
        y=list(curve.values()),
        line={"color": look.colour, "dash": look.dash, "width": 1 if faint else 2},
        marker={"symbol": look.symbol},
        opacity=0.35 if faint else 1,
    )
