"""Several answers to a prompt: how often one of them is right, and whether their agreement tells that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plotly.subplots import make_subplots

from cgd.report.figures.accuracy import Arms
from cgd.report.figures.figure import COLOURS, GRID, Cell, Figure, Look, counted, file_name, label, new_plot, style

_MEASURES = (("pass@k", "pass_at_k"), ("maj@k", "maj_at_k"))


def samples_figure(task: str, arms: Arms, looks: Mapping[str, Look]) -> Figure | None:
    """Pass@k above, maj@k below, by k, where prompts were answered several times."""
    rows: list[tuple[Any, ...]] = [
        (arm, measure, one["k"], *(100 * share for share in (one["rate"], *one["ci95"])), one["n"])
        for measure, key in _MEASURES
        for arm, numbers in arms.items()
        for one in numbers[key] or ()
        if one["rate"] is not None
    ]
    if not rows:
        return None
    titles = [f"{measure}: right (%)" for measure, _ in _MEASURES]
    plot = make_subplots(rows=2, cols=1, shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.14)
    names = list(dict.fromkeys(arm for arm, *_ in rows))
    for panel, (measure, _) in enumerate(_MEASURES, 1):
        for place, arm in enumerate(names):
            curve = [row[2:6] for row in rows if row[:2] == (arm, measure)]
            beside = [(k * 1.012 ** _offset(place, len(names)), *values) for k, *values in curve]
            _add_curve(plot, arm, looks[arm], beside, legend=panel == 1, row=panel, col=1)
    style(plot, height=560, x_title="", y_title=None)
    plot.update_annotations(x=0, xanchor="left", font_size=13)
    plot.update_layout(margin_t=44, legend={"y": 1.08})
    plot.update_xaxes(tickvals=sorted({k for _, _, k, *_ in rows}), type="log")
    plot.update_xaxes(title_text="k, answers to a prompt", row=2)
    plot.update_yaxes(rangemode="tozero")
    ends = [
        f"{arm} {measure} {value:.1f}% ({low:.1f}% to {high:.1f}%) at k = {k}"
        for arm, measure, k, value, low, high, _ in {row[:2]: row for row in rows}.values()
    ]
    prompts = counted((n for *_, n in rows), "prompt")
    return Figure(
        file_name("samples", task),
        f"On {task}, one of k answers right (pass@k), and the one most give (maj@k), with 95% intervals ({prompts})",
        f"Pass@k and maj@k on {task}: {'; '.join(ends)}.",
        plot,
        ("arm", "measure", "k", "percent", "low", "high", "prompts"),
        rows,
    )


def reliability_figure(task: str, arms: Arms, looks: Mapping[str, Look]) -> Figure | None:
    """How often answers are right by how many other samples give them; on the diagonal agreement is calibrated."""
    plot = new_plot()
    plot.add_scatter(
        x=[0, 100], y=[0, 100], mode="lines", line={"color": COLOURS[0], "width": 1}, name="as agreement says"
    )
    rows: list[tuple[Cell, ...]] = []
    known = {arm: numbers["calibration"]["bins"] for arm, numbers in arms.items() if numbers["calibration"]}
    for place, (arm, bins) in enumerate(known.items()):
        curve = [
            (*(100 * one[key] for key in ("confidence", "accuracy")), *(100 * limit for limit in one["ci95"]), one["n"])
            for one in bins
            if one["n"]
        ]
        _add_curve(plot, arm, looks[arm], [(x + 0.8 * _offset(place, len(known)), *rest) for x, *rest in curve])
        rows += [(arm, *point) for point in curve]
    if not rows:
        return None
    style(plot, height=440, x_title="other samples that agree (%)", y_title="right (%)")
    plot.update_xaxes(range=[-4, 104], zerolinecolor=GRID)
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


def _offset(place: int, count: int) -> float:
    """Steps from the true place, so that the intervals of several arms stand side by side."""
    return place - (count - 1) / 2


def _add_curve(
    plot: Any, name: str, look: Look, points: Sequence[tuple[float, ...]], *, legend: bool = True, **panel: int
) -> None:
    """A line through (x, y, low, high, …) with intervals."""
    plot.add_scatter(
        name=label(name),
        legendgroup=label(name),
        showlegend=legend,
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
        **panel,
    )
