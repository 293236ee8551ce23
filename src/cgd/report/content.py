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

from cgd.report.accuracy import task_tables
from cgd.report.critiques import analysis_tables
from cgd.report.examples import BeforeAndAfter, TrainingRecord, before_and_after, training_records
from cgd.report.measures import measure_tables
from cgd.report.tables import (
    Table,
    distinguishable,
    drops_table,
    generation_table,
    percent,
    percent_range,
    points,
    points_range,
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
    how_to_read: str
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
    task, arm = summary["task"], _trained_arm(summary["arms"])
    tables = [
        generation_table(summary["generation"]),
        verdicts_table(summary["generation"]),
        spend_table(summary["spend"]),
        drops_table(summary["drops"]),
    ]
    return Content(
        title=str(manifest["name"]),
        summary=[
            *_headline(summary),
            teacher_sentence(manifest["recipe"]),
            *map(_warning, manifest.get("warnings", [])),
        ],
        results=[
            Results(label, task_tables(label, numbers), numbers.get("words", ()))
            for label, numbers in summary["tasks"].items()
        ],
        measures=measure_tables(summary, analysis),
        critiques=analysis_tables(analysis),
        how_to_read=HOW_TO_READ,
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


def teacher_sentence(recipe: Mapping[str, Any]) -> str:
    """What kind of thing wrote the critiques and refinements."""
    teacher = recipe.get("teacher")
    if teacher is None:
        return "No teacher took part in this run."
    if teacher["backend"] == "tutor":
        return "The teacher is a deterministic worked-solution program (`tutor`), not a language model."
    model = f"the model `{teacher['model']}`, run by " if teacher.get("model") else ""
    return f"The teacher is {model}the backend `{teacher['backend']}`."


def _data_note(summary: Mapping[str, Any]) -> str:
    """Whether anything was left out, and what a row that was kept cost."""
    kept, per_row = summary["spend"]["kept_rows"], summary["spend"]["per_kept_row"]
    sentences = [] if summary["drops"] or not summary["training"] else [NOTHING_LEFT_OUT]
    if per_row and per_row["tokens"]:
        cost = f" and cost {per_row['cost']:.6f}" if per_row["cost"] else ""
        sentences.append(f"Each of the {kept} rows trained on took {per_row['tokens']:,.0f} tokens to generate{cost}.")
    return " ".join(sentences)


def _warning(warning: str) -> str:
    return f"Warning: {warning}."


def _trained_arm(arms: Mapping[str, Any]) -> str | None:
    """The arm whose examples are shown: `cgd`, or else the last trained one."""
    trained = [name for name in arms if name != "base"]
    return "cgd" if "cgd" in trained else trained[-1] if trained else None


def _headline(summary: Mapping[str, Any]) -> list[str]:
    """The first task's result in words, by rule from the numbers."""
    if summary["task"] is None:
        return ["This run has no evaluation, so there is no accuracy to report."]
    arms, paired = summary["arms"], summary["paired"]
    name = _trained_arm(arms) or "base"
    if name not in arms or not arms[name]["n"]:
        return [f"No prediction of `{name}` on `{summary['task']}` has a verdict.", *_left_out(arms)]
    against = {rival: _seen_from(name, rival, paired) for rival in arms if rival != name}
    sentences = [_reached(summary["task"], name, arms)]
    if "base" in against:
        sentences.append(_difference_to_base(against["base"]))
    others = {rival: pair for rival, pair in against.items() if rival != "base" and pair["n"]}
    if others:
        sentences.append(_differences_to_others(others))
    if name != "base" and "base" in arms:
        sentences.append(_other_readings(arms[name], arms["base"]))
    return [*sentences, *_left_out(arms)]


def _reached(task: str, name: str, arms: Mapping[str, Any]) -> str:
    arm = arms[name]
    seeds = f", mean of {arm['seeds']} training seeds" if arm["seeds"] > 1 else ""
    start = (
        f"On {arm['n']} held-out `{task}` prompts `{name}` reached {percent(arm['strict_accuracy'])} strict accuracy "
        f"(95% interval {percent_range(arm['ci95'])}{seeds})"
    )
    if name == "base" or "base" not in arms:
        return f"{start}."
    base = arms["base"]
    return f"{start}, the untrained `base` {percent(base['strict_accuracy'])} ({percent_range(base['ci95'])})."


def _seen_from(name: str, rival: str, paired: Mapping[str, Any]) -> dict[str, Any]:
    """The comparison of two arms as `name` minus `rival`, whichever way round the summary holds it."""
    if f"{name}-{rival}" in paired:
        return dict(paired[f"{name}-{rival}"])
    pair = paired[f"{rival}-{name}"]
    if not pair["n"]:
        return dict(pair)
    lower, upper = pair["ci95"]
    return {**pair, "difference": -pair["difference"], "ci95": [-upper, -lower]}


def _difference_to_base(pair: Mapping[str, Any]) -> str:
    if not pair["n"]:
        return "No prompt has a verdict in both."
    return (
        f"The difference is {points(pair['difference'])} points (95% interval {points_range(pair['ci95'])}, "
        f"{pair['n']} paired prompts): {_finding(pair)}."
    )


def _differences_to_others(against: Mapping[str, Mapping[str, Any]]) -> str:
    parts = [
        f"`{rival}` {points(pair['difference'])} points ({points_range(pair['ci95'])}, {_finding(pair)})"
        for rival, pair in against.items()
    ]
    return f"Against the other arms: {'; '.join(parts)}."


def _finding(pair: Mapping[str, Any]) -> str:
    """Whether the interval leaves out zero, and whether that stands when all comparisons are counted."""
    if not distinguishable(pair):
        return "not distinguishable from zero"
    return "distinguishable from zero" + (", but not after Holm's correction" if pair["p_holm"] > 0.05 else "")


def _other_readings(arm: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """A change of format can look like a change of skill: both readings stand side by side."""
    return (
        f"Flexible accuracy went from {percent(base['flexible_accuracy'])} to {percent(arm['flexible_accuracy'])}, "
        f"and the asked format was followed in {percent(base['format_rate'])} of replies before and "
        f"{percent(arm['format_rate'])} after."
    )


def _left_out(arms: Mapping[str, Any]) -> list[str]:
    unscored = sum(arm["unscored"] for arm in arms.values())
    failed = sum(arm["failed"] for arm in arms.values())
    if not unscored and not failed:
        return []
    return [f"Left out of all accuracies: {unscored} unscored and {failed} failed predictions, over all arms."]


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
