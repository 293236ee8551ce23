"""The report as one HTML file: opens offline, loads nothing, and shows every text as text."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from plotly.offline import get_plotlyjs

from cgd.report.content import gather, spans
from cgd.report.figures.all import all_figures, write_csv
from cgd.store import Store


def write_html(
    folder: Path,
    summary: Mapping[str, Any],
    manifest: Mapping[str, Any],
    store: Store,
    examples: int,
    analysis: Mapping[str, Any] | None = None,
) -> Path:
    """Write `report/index.html`, and the numbers of its figures as `report/figures/*.csv`.

    Model texts are untrusted: the template escapes everything it prints, figure data travels in an escaped
    attribute, and the page's content security policy forbids every request.

    Args:
        folder: the run folder.
        summary: as `cgd.analysis.summary.summarise` returns it.
        manifest: the run's manifest.
        store: the run's store.
        examples: how many training records, and how many predictions, are shown in full.
        analysis: of the run, where it was analysed.

    Returns:
        The file written.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"spans": spans, "csv_link": _csv_link}
    figures = all_figures(summary, store, analysis)
    page = environment.from_string(_text("index.html.jinja")).render(
        content=gather(summary, manifest, store, examples, analysis),
        figures=figures,
        css=_text("page.css"),
        script=_text("page.js"),
        plotly_js=get_plotlyjs() if figures.every() else "",
    )
    path = folder / "report" / "index.html"
    write_csv(path.parent / "figures", figures.every())
    path.write_text(page, encoding="utf-8")
    return path


def _text(name: str) -> str:
    return files("cgd.report").joinpath(name).read_text("utf-8")


def _csv_link(text: str) -> str:
    """Comma-separated values as an address that holds them."""
    return f"data:text/csv;charset=utf-8;base64,{b64encode(text.encode()).decode()}"
