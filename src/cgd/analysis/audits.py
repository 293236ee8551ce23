"""Audits of all records as rates with intervals, and the ledger: what refining did to right and wrong drafts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cgd.analysis.intervals import mean_of
from cgd.analysis.statistics import wilson_interval
from cgd.audits import Audit, repeated
from cgd.records import Record

_LISTED = 10


def audit_summary(
    records: Sequence[Record], audits: Mapping[str, Audit], gains: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Account of the audits, ready for JSON.

    Args:
        records: complete ones.
        audits: by record id.
        gains: information gain by record id (nats a token), where records were scored.

    Returns:
        Rates (`share`, `ci95` after Wilson, `n`, and `first` ids) of `answer_in_critique`, `solution_in_critique`,
        `leaks`, `meta_talk`, `specific`, `unchanged`; `verdicts`; `ledger`, in all and by leak; `gain_by` what
        became of the draft (as in the ledger), verdict on it, and leak; `repeated` texts; `words` of each text.
    """
    return {
        "rates": {
            name: _rate({key: value for key, audit in audits.items() if (value := rule(audit)) is not None})
            for name, rule in _RATES.items()
        },
        "verdicts": _verdicts(list(audits.values())),
        "ledger": {
            "all": ledger(list(audits.values())),
            "leaking": ledger([audit for audit in audits.values() if audit.leaks]),
            "not leaking": ledger([audit for audit in audits.values() if not audit.leaks]),
        },
        "gain_by": _gain_by(audits, gains or {}),
        "repeated": {
            name: repeated([getattr(record, name) for record in records])
            for name in ("draft", "critique", "refinement")
        },
        "words": {
            name: mean_of([len(getattr(record, name).split()) for record in records], least=0.0)
            for name in ("draft", "critique", "refinement")
        },
    }


_RATES: dict[str, Callable[[Audit], bool | None]] = {
    "answer_in_critique": lambda audit: audit.answer_in_critique,
    "solution_in_critique": lambda audit: audit.solution_in_critique,
    "leaks": lambda audit: audit.leaks,
    "meta_talk": lambda audit: audit.meta_talk,
    "specific": lambda audit: audit.specific,
    "unchanged": lambda audit: audit.unchanged,
}


def ledger(audits: Sequence[Audit]) -> dict[str, Any]:
    """Drafts right or wrong → refinements right or wrong, and how many of the wrong ones were mended.

    Records that lack one of the two verdicts are counted as `unscored`.
    """
    both = [(a.draft_right, a.refinement_right) for a in audits]
    known = [(before, after) for before, after in both if before is not None and after is not None]
    counts = {_way(before, after): known.count((before, after)) for before in (True, False) for after in (True, False)}
    wrong, right = (sum(before is state for before, _ in known) for state in (False, True))
    return {
        **counts,
        "unscored": len(audits) - len(known),
        "mended": _share(counts["wrong to right"], wrong),
        "spoiled": _share(counts["right to wrong"], right),
    }


def _way(draft_right: bool, refinement_right: bool) -> str:
    names = {True: "right", False: "wrong"}
    return f"{names[draft_right]} to {names[refinement_right]}"


def _verdicts(audits: Sequence[Audit]) -> dict[str, Any]:
    """The critic as a detector of wrong drafts, over records where both have a verdict."""
    known = [(a.verdict, a.draft_right) for a in audits if a.verdict is not None and a.draft_right is not None]
    flagged = [right for verdict, right in known if verdict == "wrong"]
    wrong = [verdict for verdict, right in known if not right]
    return {
        "precision": _share(sum(not right for right in flagged), len(flagged)),
        "recall": _share(sum(verdict == "wrong" for verdict in wrong), len(wrong)),
        "n": len(known),
        "no_verdict": sum(a.verdict is None for a in audits),
    }


def _gain_by(audits: Mapping[str, Audit], gains: Mapping[str, float]) -> dict[str, Any]:
    groups: dict[str, list[float]] = {}
    for key, gain in gains.items():
        audit = audits[key]
        groups.setdefault("leaking" if audit.leaks else "not leaking", []).append(gain)
        if audit.draft_right is not None:
            groups.setdefault("draft right" if audit.draft_right else "draft wrong", []).append(gain)
            if audit.refinement_right is not None:
                groups.setdefault(_way(audit.draft_right, audit.refinement_right), []).append(gain)
    return {name: mean_of(values) for name, values in sorted(groups.items())}


def _rate(values: Mapping[str, bool]) -> dict[str, Any]:
    found = [key for key, value in values.items() if value]
    return {**_share(len(found), len(values)), "first": found[:_LISTED]}


def _share(count: int, n: int) -> dict[str, Any]:
    return {
        "share": count / n if n else None,
        "ci95": list(wilson_interval(count, n)) if n else None,
        "n": n,
    }
