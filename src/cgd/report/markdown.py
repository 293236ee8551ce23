"""The report as Markdown: the same content without the figures, for terminals, reviews and model cards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cgd.report.content import Content, gather, spans
from cgd.report.examples import BeforeAndAfter, TrainingRecord
from cgd.report.tables import Table
from cgd.store import Store


def write_markdown(
    folder: Path,
    summary: Mapping[str, Any],
    manifest: Mapping[str, Any],
    store: Store,
    examples: int,
    analysis: Mapping[str, Any] | None = None,
) -> Path:
    """Write `report/report.md`.

    Model texts are untrusted: they stand in fences longer than any run of backticks in them, and everything
    else that is not ours is escaped.

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
    content = gather(summary, manifest, store, examples, analysis)
    path = folder / "report" / "report.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(_blocks(content)) + "\n", encoding="utf-8")
    return path


def fence(text: str) -> str:
    """A code block that nothing in the text can close.

    The fence is longer than the longest run of backticks (CommonMark 0.31.2, section 4.5).
    """
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    mark = "`" * max(3, longest + 1)
    return f"{mark}text\n{text}\n{mark}"


def escape(text: str) -> str:
    """Text on one line in which no character is Markdown or HTML."""
    return re.sub(r"([\\`*_\[\]<>|~&$])", r"\\\1", " ".join(text.split()))


def _blocks(content: Content) -> Iterable[str]:
    yield f"# {escape(content.title)}"
    yield " ".join(_sentence(sentence) for sentence in content.summary)
    if content.results:
        yield "## Results"
        for _, tables, words in content.results:
            yield from map(_table, tables)
            yield from (["\n".join(f"- {escape(sentence)}" for sentence in words)] if words else [])
        yield _sentence(content.how_to_read["results"])
    yield from _section(
        "Beside accuracy", content.measures, content.how_to_read["measures"] if content.measures else ""
    )
    yield from _section(
        "What critiques add", content.critiques, content.how_to_read["critiques"] if content.critiques else ""
    )
    yield from _section("Data", content.data, content.data_note)
    yield from _section("Training", content.training)
    if content.records:
        yield "## Training records"
        for number, record in enumerate(content.records, 1):
            yield from _record(number, record)
    if content.predictions:
        yield f"## Held-out predictions: base and {escape(str(content.trained_arm))}"
        for number, prediction in enumerate(content.predictions, 1):
            yield from _prediction(number, prediction)
    yield "## Manifest"
    yield _table(content.facts)
    yield "Resolved recipe:"
    yield fence(content.recipe)


def _section(title: str, tables: list[Table], note: str = "") -> Iterable[str]:
    if tables or note:
        yield f"## {title}"
        yield from map(_table, tables)
    if note:
        yield note


def _record(number: int, record: TrainingRecord) -> Iterable[str]:
    yield f"### Record {number}: {escape(record.id)}"
    for symbol, name in (("x", "prompt"), ("y'", "draft"), ("c", "critique"), ("ŷ", "refinement")):
        yield f"{name.capitalize()} {symbol}:"
        yield fence(getattr(record, name))


def _prediction(number: int, pair: BeforeAndAfter) -> Iterable[str]:
    yield f"### Prediction {number}, {pair.kind}: {escape(pair.id)}"
    yield "Prompt:"
    yield fence(pair.prompt)
    yield f"Reference answer: {escape(pair.gold) or '–'}"
    for when, prediction in (("Before", pair.before), ("After", pair.after)):
        yield f"{when}, {escape(prediction.verdict)}:"
        yield fence(prediction.text)


def _table(table: Table) -> str:
    rule = ["---:" if column == "r" else ":---" for column in table.align]
    rows = [[escape(cell) for cell in row] for row in table.rows]
    lines = [f"| {' | '.join(cells)} |" for cells in (table.heads, rule, *rows)]
    return f"**{escape(table.caption)}**\n\n" + "\n".join(lines)


def _sentence(sentence: str) -> str:
    return "".join(f"`{' '.join(text.split())}`" if is_name else _keep_ends(text) for is_name, text in spans(sentence))


def _keep_ends(text: str) -> str:
    """Escaped text with the blanks at its ends, which join it to its neighbours."""
    start = " " if text[:1].isspace() else ""
    end = " " if text[-1:].isspace() and text.strip() else ""
    return f"{start}{escape(text)}{end}"
