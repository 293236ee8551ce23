"""What critiques add, and what is wrong with records: tables of `analysis.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cgd.report.tables import NOTHING, Table, percent, percent_range

CONTEXTS = {"x": "prompt", "x_draft": "prompt, draft", "x_draft_critique": "prompt, draft, critique"}
MODELS = {"student_before": "before training", "student_after": "after training"}
_RATES = {
    "answer_in_critique": "Critique states an answer that prompt and draft lack",
    "solution_in_critique": "Critique shares a stretch with refinement or solution",
    "leaks": "Either of them",
    "meta_talk": "Refinement speaks of draft, critique or revision",
    "specific": "Critique names something of this draft",
    "unchanged": "Refinement is the draft",
}


HOW_TO_READ = (
    "The student, before and after training, is shown the teacher's refinement token by token. Entropy says how open "
    "its choice of the next token is. What the critique takes from it is the information gain: it is negative where "
    "the critique makes the choice more open. Pointwise mutual information says whether the critique makes the "
    "refinement itself more likely. Values are means over records with the 95% intervals of these means, or shares."
)


def analysis_tables(analysis: Mapping[str, Any] | None) -> list[Table]:
    """All tables that have rows; none where the run was not analysed."""
    if not analysis:
        return []
    tables = [_uncertainty_table(analysis), _bayes_table(analysis["bayes"]), *_audit_tables(analysis["audits"])]
    return [table for table in tables if table.rows]


def _uncertainty_table(analysis: Mapping[str, Any]) -> Table:
    """One row a quantity, before training beside after it; nats a token where the row says nothing else."""
    entropy, drops, pmi = ({model: analysis[key][model] for model in MODELS} for key in ("entropy", "drops", "pmi"))
    rows = [
        (f"Entropy of the refinement given {title}", *_sides(entropy, context)) for context, title in CONTEXTS.items()
    ]
    for pair in drops["student_before"]:
        way = " to ".join(f"({CONTEXTS[side]})" for side in pair.split(" - "))
        rising = {model: {pair: {**drops[model][pair]["rising"], "n": drops[model][pair]["n"]}} for model in MODELS}
        rows.append((f"Entropy drop from {way}", *_sides(drops, pair)))
        rows.append((f"Records whose entropy rises from {way}", *_sides(rising, pair)))
    rows.append(("Pointwise mutual information, nats a record", *_sides(pmi, "per_record")))
    return Table("Uncertainty: nats a token where nothing else is said", ("Quantity", *_SIDES), "lrrrrrr", rows)


def _bayes_table(bayes: Mapping[str, Any]) -> Table:
    names = {
        "kl": "KL (direct ‖ updated), nats",
        "js": "Jensen–Shannon divergence, nats",
        "rank_correlation": "Rank correlation",
        "top1_agreement": "Records with the same best candidate",
    }
    shares = {
        model: {
            key: {"share": value["mean"], **value} if key == "top1_agreement" else value for key, value in found.items()
        }
        for model, found in bayes.items()
        if found
    }
    rows = [(title, *_sides(shares, key)) for key, title in names.items() if shares]
    heads = ("Updated by Bayes' rule against directly conditioned", *_SIDES)
    return Table("Bayes' rule over candidate refinements", heads, "lrrrrrr", rows)


_SIDES = ("Before training", "95% interval", "n", "After training", "95% interval", "n")


def _sides(values: Mapping[str, Mapping[str, Mapping[str, Any]]], key: str) -> Iterator[str]:
    """Mean or share, interval and n of each model."""
    for model in MODELS:
        value = values.get(model, {}).get(key, {"mean": None, "n": 0})
        if "share" in value:
            yield from (percent(value["share"]), percent_range(value["ci95"]), str(value["n"]))
        else:
            yield from _mean(value)


def _audit_tables(audits: Mapping[str, Any]) -> Iterator[Table]:
    rates = [
        (
            title,
            percent(rate["share"]),
            percent_range(rate["ci95"]),
            str(rate["n"]),
            ", ".join(rate["first"][:3]) or NOTHING,
        )
        for name, title in _RATES.items()
        if (rate := audits["rates"][name])
    ]
    yield Table("Audits of all records", ("Audit", "Share", "95% interval", "Records", "First ones"), "lrrrl", rates)
    verdicts = audits["verdicts"]
    found = [
        (title, percent(verdicts[key]["share"]), percent_range(verdicts[key]["ci95"]), str(verdicts[key]["n"]))
        for key, title in (("precision", "Drafts called wrong that are wrong"), ("recall", "Wrong drafts called wrong"))
    ]
    yield Table("Verdicts of the critiques against the grader", ("Drafts", "Share", "95% interval", "n"), "lrrr", found)
    ways = [f"{a} to {b}" for a in ("right", "wrong") for b in ("right", "wrong")]
    rows = [
        (
            name,
            *(str(ledger[way]) for way in ways),
            str(ledger["unscored"]),
            *(text for key in ("mended", "spoiled") for text in _rate(ledger[key])),
        )
        for name, ledger in audits["ledger"].items()
    ]
    heads = (
        *("Records", *(way.capitalize() for way in ways), "Unscored"),
        *("Wrong drafts mended", "95% interval", "Right drafts spoiled", "95% interval"),
    )
    yield Table("Ledger: draft to refinement", heads, "lrrrrrrrrr", rows)


def _rate(rate: Mapping[str, Any]) -> tuple[str, str]:
    return percent(rate["share"]), percent_range(rate["ci95"])


def _mean(value: Mapping[str, Any]) -> tuple[str, str, str]:
    mean, interval, n = value["mean"], value.get("ci95"), str(value["n"])
    ends = f"{_nats(interval[0])} to {_nats(interval[1])}" if interval else NOTHING
    return NOTHING if mean is None else _nats(mean), ends, n


def _nats(value: float) -> str:
    """-0.0004 → 0.000, and with a real minus sign where there is one."""
    text = f"{value:.3f}"
    return "0.000" if text == "-0.000" else text.replace("-", "−")
