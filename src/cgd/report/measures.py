"""Tables of what is measured beside accuracy: drift, self-refinement, contamination, critiques."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cgd.report.tables import NOTHING, Table, percent, percent_range, points, points_range

RATES = {
    "strict_format": "Asked format followed",
    "lost_to_format": "Right, but not in the format",
    "critique_talk": "Talks like a critique",
    "refinement_talk": "Talks of a revision",
    "refusal": "Refuses",
    "repetition": "Ends in a loop",
    "language": "In the prompt's language",
}
HOW_TO_READ = (
    "Format drift sets an arm's replies beside base's to the same prompts: shares and their difference in points, "
    "lengths and their ratio. Jensen–Shannon divergence says how far two distributions lie apart (0: equal, 0.693: "
    "nothing in common); two halves of the same replies lie apart too, by chance, and what is found beyond that counts."
)
_FIELDS = {"prompt": "Prompts", "critique": "Critiques", "refinement": "Refinements"}


def measure_tables(summary: Mapping[str, Any], analysis: Mapping[str, Any] | None) -> list[Table]:
    """All tables of this module that have rows."""
    moved = {analysis["arm"]: analysis["moved"]} if analysis else {}
    contamination = contamination_table(summary.get("contamination", {}))
    return [
        *refinement_tables(summary.get("self_refine", {})),
        *drift_tables(summary.get("drift", {}), moved),
        *([contamination] if contamination.rows else []),
        *harness_tables(summary.get("harness", {})),
    ]


def drift_tables(
    drift: Mapping[str, Mapping[str, Mapping[str, Any]]], moved: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> list[Table]:
    """For each task one row an arm and part: how its replies differ from the base student's to the same prompts.

    Args:
        drift: parts by task and arm.
        moved: divergence of the trained student's distribution from base's, by arm and task, where it was analysed.
    """
    tables = []
    for task, arms in drift.items():
        rows: list[tuple[str, ...]] = []
        for arm, parts in arms.items():
            rows += _drift_rows(arm, parts)
            rows += _moved_rows(arm, moved.get(arm, {}).get(task))
        heads = ("Arm", "Part", "Base", "Arm's", "Difference", "95% interval", "Prompts")
        tables.append(Table(f"Format drift on {task}, part by part", heads, "llrrrrr", rows))
    return [table for table in tables if table.rows]


def _drift_rows(arm: str, parts: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, title in RATES.items():
        rate = parts["rates"][name]
        if rate["rate"] is not None:
            difference = (points(rate["difference"]), points_range(rate["difference_ci95"]))
            yield (arm, title, percent(rate["base"]), percent(rate["rate"]), *difference, str(rate["n_paired"]))
    length = parts["length"]
    if length["ratio"] is not None:
        ratio = (_number(length["ratio"], "×.2f"), _range(length["ci95"], ".2f"))
        yield (arm, "Output tokens", f"{length['base']:.1f}", f"{length['tokens']:.1f}", *ratio, str(parts["n"]))
    for name, title in (("first_token", "First tokens"), ("length_distribution", "Lengths")):
        found = parts[name]
        if found["jsd"] is not None:
            beyond = (_number(found["excess"], "+.3f"), _range(found["ci95"], "+.3f"))
            title = f"{title}: Jensen–Shannon divergence (nats), by chance and found"
            yield (arm, title, f"{found['chance']:.3f}", f"{found['jsd']:.3f}", *beyond, str(found["n"]))


def _moved_rows(arm: str, found: Mapping[str, Any] | None) -> Iterator[tuple[str, ...]]:
    if found and found["mean"] is not None:
        title = "KL of the next token from base, on base's replies (nats a token)"
        yield (
            arm,
            title,
            NOTHING,
            _number(found["mean"], ".3f"),
            NOTHING,
            _range(found["ci95"], ".3f"),
            str(found["n"]),
        )


def refinement_tables(refinements: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> list[Table]:
    """For each task one row an arm and round: answers given at once beside refined ones, and what both spend."""
    heads = (
        *("Arm", "Rounds", "At once", "Refined", "Difference (points)", "95% interval"),
        *("Tokens generated at once", "With refining", "Tokens read at once", "With refining", "Prompts"),
    )
    tables = []
    for task, arms in refinements.items():
        rows = [(arm, str(one["round"]), *_refined(one)) for arm, rounds in arms.items() for one in rounds if one["n"]]
        tables.append(Table(f"Self-refinement at inference on {task}", heads, "lrrrrrrrrrr", rows))
    return [table for table in tables if table.rows]


def _refined(one: Mapping[str, Any]) -> Iterator[str]:
    once, again = one["one_pass"], one["refined"]
    yield percent(once["strict_accuracy"])
    yield percent(again["strict_accuracy"])
    yield points(one["difference"])
    yield points_range(one["ci95"])
    for side in ("generated", "read"):
        yield from (f"{values[side]:,.1f}" for values in (once, again))
    yield str(one["n"])


def contamination_table(contamination: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """One row a benchmark and kind of training text that overlaps it; all of them where nothing does."""
    rows = [
        (
            task,
            title,
            f"{fields[field]['n_overlaps']} of {fields[field]['n_tests']}",
            percent_range(fields[field]["ci95"]),
            str(fields[field]["n_most"]),
            str(fields[field]["n_equal"]),
            ", ".join(one["training_id"] for one in fields[field]["first"][:3]) or NOTHING,
        )
        for task, fields in contamination.items()
        for field, title in _FIELDS.items()
    ]
    heads = (
        *("Benchmark", "Training texts", "Test prompts that share 13 words", "95% interval"),
        *("By half or more", "Word for word", "First ones"),
    )
    return Table("Overlap of the training data with the benchmarks", heads, "llrrrrl", rows)


def harness_tables(harness: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[Table]:
    """For each task of lm-evaluation-harness one row a student and metric, as the harness computed them."""
    tables = []
    for task, students in harness.items():
        rows = [row for student, result in students.items() for row in _harness_rows(student, result)]
        heads = ("Student", "Metric, filter", "Value", "Standard error", "Questions")
        tables.append(Table(f"{task} by lm-evaluation-harness", heads, "llrrr", rows))
    return tables


def _harness_rows(student: str, result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    if result["error"]:
        yield (student, f"failed: {result['error']}", NOTHING, NOTHING, NOTHING)
    for metric, score in result["scores"].items():
        error = NOTHING if score["stderr"] is None else f"{score['stderr']:.4f}"
        yield (student, metric, f"{score['value']:.4f}", error, str(result["n"]))


def _number(value: float, form: str) -> str:
    sign, form = ("×", form[1:]) if form.startswith("×") else ("", form)
    return f"{sign}{value:{form}}".replace("-", "−")


def _range(interval: Sequence[float] | None, form: str) -> str:
    if interval is None:
        return NOTHING
    low, high = interval
    return f"{_number(low, form)} to {_number(high, form)}"
