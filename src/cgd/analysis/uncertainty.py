"""What draft and critique tell about the refinement, under one scoring model: entropies, gains, Bayes' rule.

A record's entropy in a context is the mean over its target tokens of H_t = −Σ_v p_t(v) ln p_t(v), in nats a token, by
teacher forcing; differences between contexts are paired, record by record and token by token. Source: method of the
paper (arXiv 2505.11628), sections on entropy and on the Bayesian view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log
from statistics import fmean
from typing import Any, Literal, NamedTuple

from cgd.analysis.bayes import bayes_check
from cgd.analysis.intervals import mean_of
from cgd.analysis.statistics import wilson_interval

CONTEXTS = ("x", "x_draft", "x_draft_critique")
TokenKind = Literal["number", "operator", "word", "other"]
_POSITIONS = (1, 2, 4, 8, 16, 32)
_LISTED = 10


class TokenScores(NamedTuple):
    """One target in one context: its tokens as text, and of each ln p and entropy (nats)."""

    texts: Sequence[str]
    log_p: Sequence[float]
    entropy: Sequence[float]


RecordScores = Mapping[tuple[str, str], TokenScores]
"""By (target, context)."""


def uncertainty(records: Mapping[str, RecordScores]) -> dict[str, Any]:
    """Account of one scoring model, ready for JSON.

    Args:
        records: scores of each record's refinement in all `CONTEXTS`, and whatever else was asked, by record id.

    Returns:
        `entropy` by context; `drops`, the paired differences of neighbouring contexts, with the share of records and
        the first ids where entropy rises instead; `information_gain` (the drop that the critique brings: overall, by
        position of the token and by kind of token); `pmi` = ln p(ŷ | x, y', c) − ln p(ŷ | x, y') in nats a record and a
        token; `bayes`, where candidates were scored. Means have `ci95` and `n`.
    """
    means = {
        context: {key: fmean(scores["refinement", context].entropy) for key, scores in records.items()}
        for context in CONTEXTS
    }
    pmi = {key: _log_ratio(scores, sum) for key, scores in records.items()}
    return {
        "entropy": {context: mean_of(list(values.values())) for context, values in means.items()},
        "drops": {f"{a} - {b}": _drop(means[a], means[b]) for a, b in zip(CONTEXTS, CONTEXTS[1:], strict=False)},
        "information_gain": {
            **_drop(means["x_draft"], means["x_draft_critique"]),
            "by_position": _by(records, lambda index, text: _position(index)),
            "by_kind": _by(records, lambda index, text: token_kind(text)),
        },
        "pmi": {
            "per_record": mean_of(list(pmi.values())),
            "per_token": mean_of([_log_ratio(scores, fmean) for scores in records.values()]),
        },
        "bayes": _bayes(records),
    }


def gains(records: Mapping[str, RecordScores]) -> dict[str, float]:
    """Information gain of each record's critique, nats a token: H(ŷ | x, y') − H(ŷ | x, y', c)."""
    return {
        key: fmean(scores["refinement", "x_draft"].entropy) - fmean(scores["refinement", "x_draft_critique"].entropy)
        for key, scores in records.items()
    }


def token_kind(text: str) -> TokenKind:
    """What a token is, by its characters: digits win over operators, operators over letters."""
    if any(character.isdigit() for character in text):
        return "number"
    if any(character in "+-*/=<>^×÷·−±≤≥√%" for character in text):
        return "operator"
    return "word" if any(character.isalpha() for character in text) else "other"


def _drop(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, Any]:
    differences = {key: before[key] - after[key] for key in before}
    rising = [key for key, value in differences.items() if value < 0]
    share = wilson_interval(len(rising), len(differences)) if differences else None
    return {
        **mean_of(list(differences.values())),
        "rising": {
            "share": len(rising) / len(differences) if differences else None,
            "ci95": list(share) if share else None,
            "n": len(rising),
            "first": rising[:_LISTED],
        },
    }


def _log_ratio(scores: RecordScores, combine: Callable[[Sequence[float]], float]) -> float:
    with_critique, without = scores["refinement", "x_draft_critique"], scores["refinement", "x_draft"]
    return combine([a - b for a, b in zip(with_critique.log_p, without.log_p, strict=True)])


def _by(records: Mapping[str, RecordScores], group: Callable[[int, str], str]) -> dict[str, dict[str, Any]]:
    """Mean entropy drop through the critique of each group's tokens: a mean over records of their means."""
    found: dict[str, list[float]] = {}
    for scores in records.values():
        before, after = scores["refinement", "x_draft"], scores["refinement", "x_draft_critique"]
        mine: dict[str, list[float]] = {}
        for index, text in enumerate(before.texts):
            mine.setdefault(group(index, text), []).append(before.entropy[index] - after.entropy[index])
        for name, values in mine.items():
            found.setdefault(name, []).append(fmean(values))
    return {name: mean_of(values) for name, values in sorted(found.items(), key=lambda pair: _order(pair[0]))}


def _position(index: int) -> str:
    """Tokens from the first on, in bins that double: 1, 2, 3-4, 5-8, ..."""
    start = 0
    for end in _POSITIONS:
        if index < end:
            return str(end) if end - start == 1 else f"{start + 1}-{end}"
        start = end
    return f"{start + 1}-"


def _order(name: str) -> tuple[int, str]:
    first = name.partition("-")[0]
    return (int(first), "") if first.isdigit() else (0, name)


def _bayes(records: Mapping[str, RecordScores]) -> dict[str, Any] | None:
    checks = []
    for scores in records.values():
        candidates = [target for target, context in scores if context == "x_draft_critique" and target != "refinement"]
        if len(candidates) < 2:
            continue
        number = [target.rpartition(" ")[2] for target in candidates]
        checks.append(
            bayes_check(
                [sum(scores[target, "x_draft"].log_p) for target in candidates],
                [sum(scores["critique", f"x_draft_candidate {k}"].log_p) for k in number],
                [sum(scores[target, "x_draft_critique"].log_p) for target in candidates],
            )
        )
    if not checks:
        return None
    ranked = [check.rank_correlation for check in checks if check.rank_correlation is not None]
    agreeing = sum(check.top1 for check in checks)
    return {
        "kl": mean_of([check.kl for check in checks], least=0.0),
        "js": mean_of([check.js for check in checks], least=0.0, most=log(2)),
        "rank_correlation": mean_of(ranked, least=-1.0, most=1.0),
        "top1_agreement": {
            "mean": agreeing / len(checks),
            "ci95": list(wilson_interval(agreeing, len(checks))),
            "n": len(checks),
        },
    }
