"""What all figures have in common: numbers beside the plot, colours and marks of arms, a style for light and dark."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from textwrap import wrap
from typing import Any, NamedTuple

import plotly.graph_objects as go

COLOURS = ("#7d838f", "#3f83f8", "#d9692a", "#1f9a66", "#a56de2", "#d9487d", "#1796a6", "#a67f16")
"""Mid-tones: each stands out by 3 to 1 or more from the light page and from the dark one."""
SYMBOLS = ("x", "circle", "diamond", "square", "triangle-up", "star", "cross", "triangle-down")
DASHES = ("dot", "solid", "dash", "dashdot", "longdash", "longdashdot", "solid", "dash")
GRID = "rgba(128, 128, 128, 0.25)"
_ZERO = "rgba(128, 128, 128, 0.85)"
_LABEL = 16  # characters of a name on one line

Cell = str | int | float | None


class Figure(NamedTuple):
    """A figure, in words what it shows, and the numbers in it."""

    name: str
    """Of its CSV file."""
    caption: str
    description: str
    plot: Any
    heads: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    half: bool = False
    """Whether half of a wide page is wide enough for it."""

    @property
    def json(self) -> Any:
        """The plot as plain JSON values."""
        return json.loads(self.plot.to_json())

    @property
    def csv(self) -> str:
        """The numbers as comma-separated values, eight digits each; empty where there is none."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.heads)
        writer.writerows([[_digits(cell) for cell in row] for row in self.rows])
        return out.getvalue()


class Look(NamedTuple):
    """How an arm is told from others in every figure, with colours and without."""

    colour: str
    symbol: str
    dash: str


def arm_looks(arms: Iterable[str]) -> dict[str, Look]:
    """The look of `base` and of every other arm, by their order; it repeats after seven arms."""
    names = dict.fromkeys(["base", *arms])
    looks = [Look(*parts) for parts in zip(COLOURS, SYMBOLS, DASHES, strict=True)]
    return {name: looks[index and 1 + (index - 1) % (len(looks) - 1)] for index, name in enumerate(names)}


def file_name(*parts: str) -> str:
    """Words as the name of a file, without its ending: lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")[:80]


def label(name: str) -> str:
    """A name in a plot: text alone, on as many lines as it takes to fit beside the plot."""
    return "<br>".join(escape(line, quote=False) for line in wrap(name, _LABEL)) or "–"


def counted(numbers: Iterable[int], unit: str) -> str:
    """How many each group has, in words: 200 prompts, or 38 to 40 prompts where they differ."""
    found = set(numbers)
    least, most = min(found), max(found)
    many = f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"
    return f"{least:,} {unit if least == 1 else many}" if least == most else f"{least:,} to {most:,} {many}"


def add_values(plot: Any, name: str, look: Look, at: Sequence[str], values: Sequence[Sequence[float]]) -> None:
    """Markers with their intervals, one a row: categories on the vertical axis, (value, low, high) on the other."""
    plot.add_scatter(
        name=label(name),
        mode="markers",
        orientation="h",
        y=[label(one) for one in at],
        x=[value for value, _, _ in values],
        error_x={
            "array": [high - value for value, _, high in values],
            "arrayminus": [value - low for value, low, _ in values],
            "thickness": 1.8,
            "width": 3,
        },
        marker={"color": look.colour, "size": 9, "symbol": look.symbol},
        cliponaxis=False,
    )


def categories_down(plot: Any, count: int) -> None:
    """Categories on the vertical axis, the first on top, their series side by side."""
    plot.update_yaxes(range=[count - 0.5, -0.5], type="category")
    plot.update_layout(scattermode="group", scattergap=0.4)


def new_plot() -> Any:
    """An empty plot."""
    return go.Figure()


def style(plot: Any, height: int, x_title: str, y_title: str | None) -> None:
    """Transparent, in the page's type, legend above."""
    plot.update_layout(
        template="none",
        height=height,
        paper_bgcolor="rgba(0, 0, 0, 0)",
        plot_bgcolor="rgba(0, 0, 0, 0)",
        margin={"l": 12, "r": 12, "t": 12, "b": 12},
        font={"family": "system-ui, sans-serif", "size": 13},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "itemwidth": 40},
        showlegend=True,
    )
    title_font = {"size": 13}
    axis = {"gridcolor": GRID, "zerolinecolor": _ZERO, "automargin": True, "title_font": title_font}
    plot.update_xaxes(title_text=x_title, **axis)
    plot.update_yaxes(title_text=y_title, ticklabelstandoff=6, **axis)


def _digits(cell: Cell) -> Cell:
    return f"{cell:.8g}" if isinstance(cell, float) else cell
