"""What critiques add, and what is wrong with records: tables of `analysis.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cgd.report.tables import NOTHING, Table, percent, percent_range

CONTEXTS = {"x": "x", "x_draft": "x, draft", "x_draft_critique": "x, draft, critique"}
MODELS = {"student_before": "before training", "student_after": "after training"}
_RATES = {
    "answer_in_critique": "Critique states an answer that prompt and draft lack",
    "solution_in_critique": "Critique shares a stretch with refinement or solution",
    "leaks": "Either of them",
    "meta_talk": "Refinement speaks of draft, critique or revision",
    "specific": "Critique names something of this draft",
    "unchanged": "Refinement is the draft",
}


def analysis_tables(analysis: Mapping[str, Any] | None) -> list[Table]:
    """All tables; none where the run was not analysed."""
    if not analysis:
        return []
    return [_uncertainty_table(analysis), _bayes_table(analysis), *_audit_tables(analysis["audits"])]


def _uncertainty_table(analysis: Mapping[str, Any]) -> Table:
    rows = []
    for model, name in MODELS.items():
        for context, value in analysis["entropy"][model].items():
            rows.append((name, f"Entropy of the refinement given {CONTEXTS[context]}", *_mean(value), NOTHING))
        for pair, value in analysis["drops"][model].items():
            before, after = (CONTEXTS[side] for side in pair.split(" - "))
            title = f"Entropy drop from ({before}) to ({after})"
            rows.append((name, title, *_mean(value), percent(value["rising"]["share"])))
        rows.append(
            (name, "Pointwise mutual information a record", *_mean(analysis["pmi"][model]["per_record"]), NOTHING)
        )
    heads = ("Student", "Quantity", "Mean (nats)", "95% interval", "n", "Records where entropy rises")
    return Table("Uncertainty: nats a token where nothing else is said", heads, "llrrrr", rows)


def _bayes_table(analysis: Mapping[str, Any]) -> Table:
    names = {
        "kl": "KL (direct ‖ updated), nats",
        "js": "Jensen–Shannon divergence, nats",
        "rank_correlation": "Rank correlation",
        "top1_agreement": "Same best candidate",
    }
    rows = [
        (MODELS[model], title, *_mean(checks[key]))
        for model, checks in analysis["bayes"].items()
        if checks
        for key, title in names.items()
    ]
    heads = ("Student", "Updated by Bayes' rule against directly conditioned", "Mean", "95% interval", "n")
    return Table("Bayes' rule over candidate refinements", heads, "llrrr", rows)


def _audit_tables(audits: Mapping[str, Any]) -> Iterator[Table]:
    rates = [
        (title, percent(rate["share"]), percent_range(rate["ci95"]), str(rate["n"]), ", ".join(rate["first"][:3]))
        for name, title in _RATES.items()
        if (rate := audits["rates"][name])
    ]
    yield Table("Audits of all records", ("Audit", "Share", "95% interval", "Records", "First ones"), "lrrrl", rates)
    verdicts = audits["verdicts"]
    found = [
        (title, percent(verdicts[key]["share"]), percent_range(verdicts[key]["ci95"]), str(verdicts[key]["n"]))
        for key, title in (("precision", "Drafts called wrong that are wrong"), ("recall", "Wrong drafts called wrong"))
    ]
    yield Table("Verdicts of the critiques against the grader", ("", "Share", "95% interval", "Drafts"), "lrrr", found)
    ways = [f"{a} to {b}" for a in ("right", "wrong") for b in ("right", "wrong")]
    rows = [
        (
            name,
            *(str(ledger[way]) for way in ways),
            percent(ledger["mended"]["share"]),
            percent(ledger["spoiled"]["share"]),
        )
        for name, ledger in audits["ledger"].items()
    ]
    heads = ("Records", *(way.capitalize() for way in ways), "Wrong drafts mended", "Right drafts spoiled")
    yield Table("Ledger: draft to refinement", heads, "lrrrrrr", rows)


def _mean(value: Mapping[str, Any]) -> tuple[str, str, str]:
    if value["mean"] is None:
        return NOTHING, NOTHING, str(value["n"])
    low, high = value["ci95"] or (None, None)
    interval = NOTHING if low is None else f"{low:.4f} to {high:.4f}"
    return f"{value['mean']:.4f}".replace("-", "−"), interval.replace("-", "−"), str(value["n"])
