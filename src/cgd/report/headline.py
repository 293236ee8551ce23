"""The summary in words: one paragraph, by rule from the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cgd.report.tables import distinguishable, percent, percent_range, points, points_range


def summary_sentences(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    """What the run came to, with names between backticks.

    Args:
        summary: as `cgd.analysis.summary.summarise` returns it.
        manifest: the run's manifest.
    """
    return [
        *_headline(summary),
        *_other_benchmarks(summary),
        *_overlaps(summary),
        teacher_sentence(manifest["recipe"]),
        *map(_warning, manifest.get("warnings", [])),
    ]


def teacher_sentence(recipe: Mapping[str, Any]) -> str:
    """What kind of thing wrote the critiques and refinements."""
    teacher = recipe.get("teacher")
    if teacher is None:
        return "No teacher took part in this run."
    if teacher["backend"] == "tutor":
        return "The teacher is a deterministic worked-solution program (`tutor`), not a language model."
    model = f"the model `{teacher['model']}`, run by " if teacher.get("model") else ""
    return f"The teacher is {model}the backend `{teacher['backend']}`."


def _warning(warning: str) -> str:
    return f"Warning: {warning}."


def trained_arm(arms: Mapping[str, Any]) -> str | None:
    """The arm whose examples are shown: `cgd`, or else the last trained one."""
    trained = [name for name in arms if name != "base"]
    return "cgd" if "cgd" in trained else trained[-1] if trained else None


def _headline(summary: Mapping[str, Any]) -> list[str]:
    """The first task's result in words, by rule from the numbers."""
    if summary["task"] is None:
        return ["This run has no evaluation, so there is no accuracy to report."]
    arms, paired = summary["arms"], summary["paired"]
    name = trained_arm(arms) or "base"
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


def _other_benchmarks(summary: Mapping[str, Any]) -> list[str]:
    """The arm of the headline on the other benchmarks: against `base`, or as it stands where that is the only one."""
    name = trained_arm(summary["arms"]) or "base"
    parts = []
    for task, numbers in summary["tasks"].items():
        arms = numbers["arms"]
        if task == summary["task"] or name not in arms or not arms[name]["n"]:
            continue
        reached = f"{percent(arms[name]['strict_accuracy'])} ({percent_range(arms[name]['ci95'])})"
        pair = _seen_from(name, "base", numbers["paired"]) if name != "base" and "base" in arms else None
        if pair and pair["n"]:
            reached += (
                f", {points(pair['difference'])} points to `base` ({points_range(pair['ci95'])}, {_finding(pair)})"
            )
        parts.append(f"`{task}` {reached}")
    return [f"Strict accuracy of `{name}` on the other benchmarks: {'; '.join(parts)}."] if parts else []


def _overlaps(summary: Mapping[str, Any]) -> list[str]:
    """A test prompt that resembles a training prompt may be easier than one that is new."""
    found = summary.get("contamination", {}).get(summary["task"], {}).get("prompt")
    if not found or not found["n_overlaps"]:
        return []
    equal = f"{found['n_equal']} of these equal one" if found["n_equal"] else "none equals one"
    return [
        f"Of the {found['n_tests']} test prompts {found['n_overlaps']} share 13 words in a row with a training prompt; "
        f"{equal}."
    ]
