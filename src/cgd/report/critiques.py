"""What critiques add, and what is wrong with records: tables and figures of `analysis.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cgd.report.figures import COLOURS, Figure, new_plot, style
from cgd.report.tables import NOTHING, Table, percent, percent_range

_CONTEXTS = {"x": "x", "x_draft": "x, draft", "x_draft_critique": "x, draft, critique"}
_MODELS = {"student_before": "before training", "student_after": "after training"}
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


def analysis_figures(analysis: Mapping[str, Any] | None) -> list[Figure]:
    """Entropy by context, information gain by kind of token and by position, and the ledger as a flow."""
    if not analysis:
        return []
    return [
        _entropy_figure(analysis["entropy"]),
        _gain_figure(analysis["information_gain"], "by_kind", "kind of token"),
        _gain_figure(analysis["information_gain"], "by_position", "position of the token in the refinement"),
        _ledger_figure(analysis["audits"]["ledger"]["all"]),
    ]


def _uncertainty_table(analysis: Mapping[str, Any]) -> Table:
    rows = []
    for model, name in _MODELS.items():
        for context, value in analysis["entropy"][model].items():
            rows.append((name, f"Entropy of the refinement given {_CONTEXTS[context]}", *_mean(value), NOTHING))
        for pair, value in analysis["drops"][model].items():
            before, after = (_CONTEXTS[side] for side in pair.split(" - "))
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
        (_MODELS[model], title, *_mean(checks[key]))
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


def _entropy_figure(entropy: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure:
    plot = new_plot()
    for colour, (model, name) in zip(COLOURS[1:], _MODELS.items(), strict=False):
        _add_means(plot, name, colour, [_CONTEXTS[c] for c in entropy[model]], list(entropy[model].values()))
    style(plot, height=360, x_title="context", y_title="entropy (nats a token)")
    caption = "Entropy of the refinement by what the student is given, with 95% intervals"
    return Figure(caption, f"{caption}. {_in_words(entropy)}", plot)


def _gain_figure(gain: Mapping[str, Mapping[str, Any]], by: str, unit: str) -> Figure:
    plot = new_plot()
    for colour, (model, name) in zip(COLOURS[1:], _MODELS.items(), strict=False):
        _add_means(plot, name, colour, list(gain[model][by]), list(gain[model][by].values()))
    style(plot, height=360, x_title=unit, y_title="information gain (nats a token)")
    plot.update_xaxes(type="category")
    caption = f"What the critique takes from the entropy, by {unit}, with 95% intervals"
    return Figure(caption, f"{caption}. {_in_words({model: gain[model][by] for model in _MODELS})}", plot)


def _add_means(plot: Any, name: str, colour: str, x: Sequence[str], values: Sequence[Mapping[str, Any]]) -> None:
    halves = [value["ci95"][1] - value["mean"] if value["ci95"] else 0.0 for value in values]
    plot.add_scatter(
        name=name,
        mode="markers",
        x=list(x),
        y=[value["mean"] for value in values],
        error_y={"array": halves, "thickness": 2},
        marker={"color": colour, "size": 11},
    )


def _in_words(values: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    parts = [
        f"{_MODELS[model]}: "
        + ", ".join(f"{_CONTEXTS.get(name, name)} {value['mean']:.3f}" for name, value in row.items())
        for model, row in values.items()
    ]
    return "; ".join(parts) + "."


def _ledger_figure(ledger: Mapping[str, Any]) -> Figure:
    labels = ["draft right", "draft wrong", "refinement right", "refinement wrong"]
    links = [
        (a, b, ledger[f"{x} to {y}"]) for a, x in enumerate(("right", "wrong")) for b, y in ((2, "right"), (3, "wrong"))
    ]
    plot = new_plot()
    plot.add_sankey(
        node={"label": labels, "color": [COLOURS[3], COLOURS[2], COLOURS[3], COLOURS[2]], "pad": 24},
        link={
            "source": [a for a, _, _ in links],
            "target": [b for _, b, _ in links],
            "value": [count for *_, count in links],
            "color": "rgba(128, 128, 128, 0.35)",
        },
    )
    style(plot, height=320, x_title="", y_title=None)
    words = "; ".join(f"{labels[a]}, {labels[b]}: {count}" for a, b, count in links)
    return Figure("What refining did to right and wrong drafts", f"Records by draft and refinement: {words}.", plot)
