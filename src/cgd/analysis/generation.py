"""What the generating stages made, what their critiques say, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from cgd.records import GeneratedStage, stage_order
from cgd.store import Store
from cgd.text import critique_verdict

_STAGES: tuple[GeneratedStage, ...] = get_args(GeneratedStage)
_STATES = ("done", "truncated", "failed")
_COUNTS = """
SELECT COALESCE(r.state, 'failed') AS state, COALESCE(r.error_class, 'no reply') AS error_class, COUNT(*) AS n,
       SUM(COALESCE(r.completion_tokens, 0)) AS tokens, SUM(COALESCE(r.broken, 0)) AS broken
FROM current AS u LEFT JOIN replies AS r ON r.key = u.key
WHERE u.stage = ? GROUP BY 1, 2 ORDER BY 1, 2
"""
_CRITIQUES = """
SELECT r.text FROM current AS u JOIN replies AS r ON r.key = u.key WHERE u.stage = 'critique' AND r.text IS NOT NULL
"""
_SPENT = """
SELECT stage, COUNT(*) AS rows, SUM(attempts) AS attempts, SUM(spent_prompt_tokens) AS prompt_tokens,
       SUM(spent_completion_tokens) AS completion_tokens, SUM(spent_cost) AS cost
FROM replies GROUP BY stage
"""


def generation_counts(store: Store) -> dict[str, dict[str, Any]]:
    """Rows of each generating stage that the present recipe asks for, by state.

    A row without a reply counts as failed.

    Returns:
        By stage that has rows: `done`, `truncated`, `failed`, `completion_tokens`, `failures` (rows by error
        class) and `broken` (strings that look like control tokens, broken up in what servers were sent). For
        critiques also `verdicts`: how many call the draft `right` or `wrong`, and how many say neither (`none`).
    """
    counts: dict[str, dict[str, Any]] = {}
    for stage in _STAGES:
        rows = store.query(_COUNTS, (stage,))
        if not rows:
            continue
        states = {state: sum(row["n"] for row in rows if row["state"] == state) for state in _STATES}
        counts[stage] = {
            **states,
            "completion_tokens": sum(row["tokens"] for row in rows),
            "failures": {row["error_class"]: row["n"] for row in rows if row["state"] == "failed"},
            "broken": sum(row["broken"] for row in rows),
        }
    if "critique" in counts:
        found = Counter(critique_verdict(row["text"]) or "none" for row in store.query(_CRITIQUES))
        counts["critique"]["verdicts"] = {verdict: found[verdict] for verdict in ("right", "wrong", "none")}
    return counts


def spend(store: Store, training: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all replies in the store were paid with: every attempt, rows of earlier recipes too.

    Args:
        store: the run's store.
        training: account of each checkpoint; its `rows` are the kept ones.

    Returns:
        `stages` (rows, attempts, tokens and cost by stage), `kept_rows`, and `per_kept_row`: tokens and cost of
        the generating stages for each row that was trained on (None without training).
    """
    rows = sorted(store.query(_SPENT), key=lambda row: stage_order(row["stage"]))
    stages = {row["stage"]: {key: row[key] for key in row.keys() if key != "stage"} for row in rows}  # noqa: SIM118 - a Row is no mapping
    kept = max((account.get("rows", 0) for account in training), default=0)
    made = [numbers for stage, numbers in stages.items() if stage in _STAGES]
    per_row = (
        {
            "tokens": sum(numbers["prompt_tokens"] + numbers["completion_tokens"] for numbers in made) / kept,
            "cost": sum(numbers["cost"] for numbers in made) / kept,
        }
        if kept
        else None
    )
    return {"stages": stages, "kept_rows": kept, "per_kept_row": per_row}
