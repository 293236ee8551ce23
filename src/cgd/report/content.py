"""What the report says, before it becomes a page: sentences, tables, examples and the manifest.

Sentences mark names with backticks; `spans` takes them apart so that each page format can escape both
kinds of text in its own way. Nothing here is HTML or Markdown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cgd.report import critiques, measures
from cgd.report.accuracy import task_tables
from cgd.report.examples import BeforeAndAfter, TrainingRecord, before_and_after, training_records
from cgd.report.headline import summary_sentences, trained_arm
from cgd.report.tables import (
    Table,
    drops_table,
    generation_table,
    spend_table,
    training_table,
    verdicts_table,
)
from cgd.store import Store

HOW_TO_READ = (
    "Strict accuracy counts an answer given in the format that the prompt asks for, flexible accuracy any answer "
    "that can be recovered. Both are over prompts with a verdict: unscored and failed predictions are counted "
    "beside them and are not taken for wrong; an answer cut off at max_tokens is graded as it stands. "
    "Intervals are 95% intervals over prompts, for the mean over seeds; differences between arms of several "
    "seeds also count what another seed would change. Holm's correction is over all pairs and benchmarks of this run, "
    "and a detectable difference is one that would be found four times out of five."
)

NOTHING_LEFT_OUT = "No record was left out of training."
_FACT_GROUPS = {"versions": "package", "models": "model", "prompt_hashes": "prompt file (SHA-256)"}


class Results(NamedTuple):
    """One benchmark's tables, and sentences that say what they show."""

    task: str
    tables: list[Table]
    words: Sequence[str]


@dataclass(frozen=True, slots=True)
class Content:
    """Everything on the page but the figures."""

    title: str
    summary: list[str]
    results: list[Results]
    measures: list[Table]
    critiques: list[Table]
    how_to_read: dict[str, str]
    """Explanations by section."""
    data: list[Table]
    data_note: str
    training: list[Table]
    records: list[TrainingRecord]
    predictions: list[BeforeAndAfter]
    trained_arm: str | None
    facts: Table
    recipe: str


def gather(
    summary: Mapping[str, Any],
    manifest: Mapping[str, Any],
    store: Store,
    examples: int,
    analysis: Mapping[str, Any] | None = None,
) -> Content:
    """Put the report's content together.

    Args:
        summary: as `cgd.analysis.summary.summarise` returns it.
        manifest: the run's manifest.
        store: the run's store, for the examples.
        examples: how many training records, and how many predictions, are shown in full.
        analysis: as `cgd.analyze.analyze` returns it, where the run was analysed.
    """
    task, arm = summary["task"], trained_arm(summary["arms"])
    tables = [
        generation_table(summary["generation"]),
        verdicts_table(summary["generation"]),
        spend_table(summary["spend"]),
        drops_table(summary["drops"]),
    ]
    return Content(
        title=str(manifest["name"]),
        summary=summary_sentences(summary, manifest),
        results=[
            Results(label, task_tables(label, numbers), numbers.get("words", ()))
            for label, numbers in summary["tasks"].items()
        ],
        measures=measures.measure_tables(summary, analysis),
        critiques=critiques.analysis_tables(analysis),
        how_to_read={"results": HOW_TO_READ, "measures": measures.HOW_TO_READ, "critiques": critiques.HOW_TO_READ},
        data=[table for table in tables if table.rows],
        data_note=_data_note(summary),
        training=[training_table(summary["training"])] if summary["training"] else [],
        records=training_records(store, examples),
        predictions=before_and_after(store, task, arm, examples) if task and arm else [],
        trained_arm=arm,
        facts=_facts_table(manifest),
        recipe=json.dumps(manifest["recipe"], indent=2, ensure_ascii=False),
    )


def spans(sentence: str) -> list[tuple[bool, str]]:
    """A sentence as (is a name, text) pieces: "a `b` c" gives (False, "a "), (True, "b"), (False, " c")."""
    pieces = re.split(r"`([^`]*)`", sentence)
    return [(index % 2 == 1, piece) for index, piece in enumerate(pieces) if piece]


def _data_note(summary: Mapping[str, Any]) -> str:
    """Whether anything was left out, and what a row that was kept cost."""
    kept, per_row = summary["spend"]["kept_rows"], summary["spend"]["per_kept_row"]
    sentences = [] if summary["drops"] or not summary["training"] else [NOTHING_LEFT_OUT]
    if per_row and per_row["tokens"]:
        cost = f" and cost {per_row['cost']:.6f}" if per_row["cost"] else ""
        sentences.append(f"Each of the {kept} rows trained on took {per_row['tokens']:,.0f} tokens to generate{cost}.")
    return " ".join(sentences)


def _facts_table(manifest: Mapping[str, Any]) -> Table:
    """The manifest but its recipe, one row a fact."""
    git = manifest.get("git")
    state = "not a git checkout" if git is None else f"{git['commit']}{' with local changes' if git['dirty'] else ''}"
    rows = [("command", _plain(manifest.get("command"))), ("cgd", _plain(manifest.get("cgd_version")))]
    rows += [("git commit", state)]
    rows += [(key, _plain(manifest.get(key))) for key in ("python", "platform")]
    for group, title in _FACT_GROUPS.items():
        rows += [(f"{title} {name}", _plain(value)) for name, value in (manifest.get(group) or {}).items()]
    rows += [(f"seconds, {stage}", f"{seconds:.1f}") for stage, seconds in (manifest.get("durations_s") or {}).items()]
    return Table("This run", ("Fact", "Value"), "ll", [*rows, *_seed_rows(manifest)])


def _seed_rows(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    recipe = manifest["recipe"]
    seeds = {
        "seed of data and generation": recipe.get("seed"),
        "training seeds": recipe.get("training", {}).get("seeds"),
    }
    return [(name, _plain(value)) for name, value in seeds.items() if value is not None]


def _plain(value: Any) -> str:
    """A value of the manifest as one line of text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
