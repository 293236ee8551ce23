"""What critiques add, drawn from `analysis.json`: entropy by context, information gain, the ledger as a flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cgd.report.critiques import CONTEXTS, MODELS
from cgd.report.figures.figure import (
    COLOURS,
    Cell,
    Figure,
    Look,
    add_values,
    categories_down,
    counted,
    file_name,
    new_plot,
    style,
)

_LOOKS = {"student_before": Look(COLOURS[1], "circle", "solid"), "student_after": Look(COLOURS[2], "diamond", "solid")}
_OUTCOMES = {
    "wrong to right": "wrong draft, mended",
    "wrong to wrong": "wrong draft, stayed wrong",
    "draft wrong": "wrong draft",
    "right to right": "right draft, stayed right",
    "right to wrong": "right draft, spoiled",
    "draft right": "right draft",
    "leaking": "critique leaks",
    "not leaking": "critique does not leak",
}
_GOOD, _BAD = COLOURS[3], COLOURS[2]
_FLOWS = {"right": "rgba(31, 154, 102, 0.35)", "wrong": "rgba(217, 105, 42, 0.35)"}
"""By what the refinement is."""


def analysis_figures(analysis: Mapping[str, Any] | None) -> list[Figure]:
    """All figures that have numbers; none where the run was not analysed."""
    if not analysis:
        return []
    gain, audits = analysis["information_gain"], analysis["audits"]
    figures = [
        _entropy_figure(analysis["entropy"]),
        _gain_figure("kind of token", {model: gain[model]["by_kind"] for model in MODELS}),
        _gain_figure("position of the token", {model: gain[model]["by_position"] for model in MODELS}),
        _outcome_figure(audits["gain_by"]),
        _ledger_figure(audits["ledger"]["all"]),
    ]
    return [figure for figure in figures if figure]


def _entropy_figure(entropy: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure | None:
    named = {model: {CONTEXTS[context]: value for context, value in entropy[model].items()} for model in MODELS}
    return _means_figure(
        "entropy-by-context",
        "Entropy of the refinement by what the student is given, with 95% intervals",
        ("context", "entropy (nats a token)"),
        named,
    )


def _gain_figure(by: str, gain: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure | None:
    return _means_figure(
        file_name("gain by", by),
        f"What the critique takes from the entropy, by {by}, with 95% intervals",
        (by, "information gain (nats a token)"),
        {model: {group.replace("-", "–"): value for group, value in _other_last(gain[model])} for model in MODELS},
    )


def _other_last(groups: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    return sorted(groups.items(), key=lambda item: item[0] == "other")


def _means_figure(
    name: str, caption: str, axes: tuple[str, str], values: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> Figure | None:
    """Means of groups, before and after training; groups along the horizontal axis."""
    plot = new_plot()
    rows: list[tuple[Cell, ...]] = []
    numbers = [value["n"] for groups in values.values() for value in groups.values() if value["mean"] is not None]
    for model, groups in values.items():
        shown = [(group, *_limits(value), value["n"]) for group, value in groups.items() if value["mean"] is not None]
        plot.add_scatter(
            name=MODELS[model],
            mode="markers",
            x=[group.replace(", ", ",<br>") for group, *_ in shown],
            y=[mean for _, mean, *_ in shown],
            error_y={
                "array": [high - mean for _, mean, _, high, _ in shown],
                "arrayminus": [mean - low for _, mean, low, *_ in shown],
                "thickness": 1.8,
                "width": 3,
            },
            marker={"color": _LOOKS[model].colour, "symbol": _LOOKS[model].symbol, "size": 10},
        )
        rows += [(MODELS[model], *row) for row in shown]
    if not rows:
        return None
    style(plot, height=360, x_title=axes[0], y_title=axes[1])
    plot.update_xaxes(type="category", title_standoff=10)
    plot.update_layout(scattermode="group", scattergap=0.7)
    caption = f"{caption} ({counted(numbers, 'record')})"
    words = "; ".join(
        f"{model}, {group}: {mean:.3f} ({low:.3f} to {high:.3f})" for model, group, mean, low, high, _ in rows
    )
    heads = ("student", file_name(axes[0]).replace("-", "_"), "mean_nats_a_token", "low", "high", "records")
    return Figure(name, caption, f"{caption}: {words}.", plot, heads, rows, half=name != "entropy-by-context")


def _outcome_figure(gain_by: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """Information gain before training, by what became of the draft and by leak."""
    shown = [
        (title, gain_by[group]["n"], *_limits(gain_by[group]))
        for group, title in _OUTCOMES.items()
        if group in gain_by and gain_by[group]["mean"] is not None and not _is_split(group, gain_by)
    ]
    if not shown:
        return None
    plot = new_plot()
    names = [f"{title} (n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{n})" for title, n, *_ in shown]
    add_values(plot, "before training", _LOOKS["student_before"], names, [limits for _, _, *limits in shown])
    style(plot, height=110 + 44 * len(shown), x_title="information gain (nats a token)", y_title=None)
    categories_down(plot, len(shown))
    words = "; ".join(f"{title} {mean:.3f} ({low:.3f} to {high:.3f}, n = {n})" for title, n, mean, low, high in shown)
    caption = "Information gain of the critique by what became of the draft, with 95% intervals"
    rows: list[tuple[Cell, ...]] = [(title, *limits, n) for title, n, *limits in shown]
    heads = ("records", "gain_nats_a_token", "low", "high", "n")
    return Figure("gain-by-outcome", caption, f"{caption}, before training: {words}.", plot, heads, rows)


def _is_split(group: str, gain_by: Mapping[str, Any]) -> bool:
    """Whether right or wrong drafts stand by what became of them; where no refinement has a verdict they don't."""
    verdict = group.removeprefix("draft ")
    return verdict != group and any(way.startswith(f"{verdict} to ") for way in gain_by)


def _limits(value: Mapping[str, Any]) -> Sequence[float]:
    """Mean and ends of the interval; the mean thrice where a single value has none."""
    mean = value["mean"]
    return (mean, *(value["ci95"] or (mean, mean)))


def _ledger_figure(ledger: Mapping[str, Any]) -> Figure | None:
    """Right and wrong drafts flow to right and wrong refinements."""
    counts = {(a, b): ledger[f"{a} to {b}"] for a in ("right", "wrong") for b in ("right", "wrong")}
    if not any(counts.values()):
        return None
    sides = [("draft", 0), ("refinement", 1)]
    nodes = [
        (f"{part} {verdict}", sum(n for ways, n in counts.items() if ways[side] == verdict), verdict)
        for part, side in sides
        for verdict in ("right", "wrong")
    ]
    place = {name: number for number, (name, *_) in enumerate(nodes)}
    links = [(place[f"draft {a}"], place[f"refinement {b}"], n) for (a, b), n in counts.items() if n]
    plot = new_plot()
    plot.add_sankey(
        node={
            "label": [f"{name}: {n}" for name, n, _ in nodes],
            "color": [_GOOD if verdict == "right" else _BAD for *_, verdict in nodes],
            "pad": 28,
            "thickness": 18,
            "line": {"width": 0},
        },
        link={
            "source": [source for source, _, _ in links],
            "target": [target for _, target, _ in links],
            "value": [n for *_, n in links],
            "color": [_FLOWS[after] for (_, after), n in counts.items() if n],
        },
    )
    style(plot, height=300, x_title="", y_title=None)
    words = "; ".join(f"{a} draft, {b} refinement: {n}" for (a, b), n in counts.items())
    known = counted([sum(counts.values())], "record")
    unscored = f", {ledger['unscored']} without both verdicts left out" if ledger["unscored"] else ""
    return Figure(
        "ledger",
        f"What refining did to right and wrong drafts ({known}{unscored})",
        f"Records by draft and refinement: {words}.",
        plot,
        ("draft", "refinement", "records"),
        [(a, b, n) for (a, b), n in counts.items()],
    )
