"""A benchmark's numbers in sentences, by rule, so that nobody reads more into a table than its prompts can say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cgd.analysis.significance import ALPHA


def task_words(task: str, arms: Mapping[str, Mapping[str, Any]], paired: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a benchmark's tables say: one sentence on all pairs, one on each, and one on defective prompts.

    Args:
        task: label of the benchmark.
        arms: by name, as the summary holds them.
        paired: by `<a>-<b>`, as the summary holds them, `p_holm` included.
    """
    compared = [pair for pair in paired.values() if pair["n"]]
    sentences = [_table_words(task, compared)] if len(compared) > 1 else []
    sentences += [pair_words(pair) for pair in paired.values()]
    return sentences + _defect_words(task, arms)


def pair_words(pair: Mapping[str, Any]) -> str:
    """One comparison in a sentence: which arm is above, by how much, how sure; or what could not have been seen.

    Two arms are told apart where the interval of their difference leaves out zero. Holm's correction is named where
    it takes that away again.
    """
    a, b, n = pair["a"], pair["b"], pair["n"]
    if not n:
        return f"{a} and {b} have no prompt on which both have a verdict."
    low, high = pair["ci95"]
    if _holds_zero(pair["ci95"]):
        return (
            f"{a} and {b} are not distinguishable at n = {n}: {_signed(pair['difference'])} points "
            f"({_signed(low)} to {_signed(high)}); differences under {100 * pair['mdd']:.0f} points can't be seen."
        )
    above = low > 0
    size, (least, most) = abs(pair["difference"]), (low, high) if above else (-high, -low)
    sentence = (
        f"{a} is {'above' if above else 'below'} {b} by {100 * size:.1f} points "
        f"({100 * least:.1f} to {100 * most:.1f}, n = {n})"
    )
    if pair["p_holm"] > ALPHA:
        return f"{sentence}, but not after Holm's correction for all comparisons (p = {pair['p_holm']:.2f})."
    return f"{sentence}."


def _table_words(task: str, compared: Sequence[Mapping[str, Any]]) -> str:
    apart = [pair for pair in compared if not _holds_zero(pair["ci95"])]
    n = min(pair["n"] for pair in compared)
    if not apart:
        unseen = max(pair["mdd"] for pair in compared)
        return (
            f"On {task} no two arms are distinguishable at n = {n}: "
            f"differences under {100 * unseen:.0f} points can't be seen."
        )
    corrected = sum(pair["p_holm"] <= ALPHA for pair in apart)
    return (
        f"On {task} {len(apart)} of {len(compared)} pairs of arms are distinguishable at n = {n}, "
        f"{corrected} of them also after Holm's correction for all comparisons of this run."
    )


def _defect_words(task: str, arms: Mapping[str, Mapping[str, Any]]) -> list[str]:
    known = max((arm["clean"]["known"] for arm in arms.values()), default=0)
    if not known:
        return []
    asked = max(arm["n_items"] for arm in arms.values())
    reached = [
        f"{name} {100 * arm['strict_accuracy']:.1f}% with and {100 * arm['clean']['strict_accuracy']:.1f}% without"
        for name, arm in arms.items()
        if arm["clean"]["n"]
    ]
    rest = f": strict accuracy of {', of '.join(reached)} them" if reached else ""
    return [f"{known} of {asked} prompts of {task} have a known defect{rest}."]


def _holds_zero(interval: Sequence[float]) -> bool:
    return interval[0] <= 0 <= interval[1]


def _signed(share: float) -> str:
    """0.05 → +5.0, with a real minus sign; what rounds to nothing has no sign."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")
