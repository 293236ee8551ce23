"""The report as one HTML file: opens offline, loads nothing, and shows every text as text."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from plotly.offline import get_plotlyjs

from cgd.report.content import gather, spans
from cgd.report.critiques import analysis_figures
from cgd.report.figures import accuracy_figures, training_figures
from cgd.store import Store


def write_html(
    folder: Path,
    summary: Mapping[str, Any],
    manifest: Mapping[str, Any],
    store: Store,
    examples: int,
    analysis: Mapping[str, Any] | None = None,
) -> Path:
    """Write `report/index.html`.

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
    environment.filters["spans"] = spans
    template = environment.from_string(files("cgd.report").joinpath("index.html.jinja").read_text("utf-8"))
    accuracies, curves = accuracy_figures(summary), training_figures(store)
    critiques = analysis_figures(analysis)
    page = template.render(
        content=gather(summary, manifest, store, examples, analysis),
        accuracy_figures=accuracies,
        training_figures=curves,
        critique_figures=critiques,
        plotly_js=get_plotlyjs() if accuracies or curves or critiques else "",
    )
    path = folder / "report" / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path
