"""What answering at once reaches and spends, beside what refined answers reach and spend, on the same items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from sqlite3 import Row
from statistics import fmean
from typing import Any, NamedTuple

from cgd.analysis.statistics import mean_interval, paired_interval
from cgd.store import Store

_FIRST = """
SELECT task, arm, seed, prompt_id, key, strict, prompt_tokens, completion_tokens FROM predictions
WHERE sample = 0 AND text IS NOT NULL
"""
_REFINED = """
SELECT task, arm, seed, prompt_id, round, key, draft_key, strict, prompt_tokens, completion_tokens,
       critique_prompt_tokens, critique_tokens FROM self_refinements WHERE text IS NOT NULL ORDER BY round
"""
Item = tuple[str, int]  # prompt id and seed


class _Answer(NamedTuple):
    """The last answer to an item, and all tokens that were read and generated up to it."""

    key: str
    strict: int | None
    read: int
    generated: int


def refinement_summary(store: Store) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Rounds of self-refinement by task and arm; empty where there were none.

    Returns:
        By task and arm a list of rounds: `round`; `n` items (prompts) whose answer has a verdict both at once and
        refined; `one_pass` and `refined` strict accuracy with `ci95`; their paired `difference` with its `ci95`; and
        mean tokens an item, `generated` (answers, critiques and refinements) and `read` (their prompts), for both.
    """
    rounds: dict[tuple[str, str], dict[int, list[Row]]] = {}
    for row in store.query(_REFINED):
        rounds.setdefault((row["task"], row["arm"]), {}).setdefault(row["round"], []).append(row)
    summary: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for (task, arm), by_round in rounds.items():
        first = {
            (row["prompt_id"], row["seed"]): _Answer(
                row["key"], row["strict"], row["prompt_tokens"], row["completion_tokens"]
            )
            for row in store.query(f"{_FIRST} AND task = ? AND arm = ?", (task, arm))
        }
        summary.setdefault(task, {})[arm] = _rounds(first, by_round)
    return summary


def _rounds(first: Mapping[Item, _Answer], by_round: Mapping[int, Sequence[Row]]) -> list[dict[str, Any]]:
    before, found = first, []
    for number, rows in by_round.items():
        refined = {}
        for row in rows:
            item = row["prompt_id"], row["seed"]
            draft = before.get(item)
            if draft is not None and draft.key == row["draft_key"]:
                refined[item] = _Answer(
                    row["key"],
                    row["strict"],
                    draft.read + row["critique_prompt_tokens"] + row["prompt_tokens"],
                    draft.generated + row["critique_tokens"] + row["completion_tokens"],
                )
        found.append({"round": number, **_compare(first, refined)})
        before = refined
    return found


def _compare(first: Mapping[Item, _Answer], refined: Mapping[Item, _Answer]) -> dict[str, Any]:
    both = [item for item, answer in refined.items() if answer.strict is not None and first[item].strict is not None]
    if not both:
        return {"n": 0, "one_pass": None, "refined": None, "difference": None, "ci95": None}
    by_prompt: dict[str, list[Item]] = {}
    for item in both:
        by_prompt.setdefault(item[0], []).append(item)

    def means(answers: Mapping[Item, _Answer], field: str) -> list[float]:
        return [fmean(getattr(answers[item], field) for item in items) for items in by_prompt.values()]

    once, again = means(first, "strict"), means(refined, "strict")
    return {
        "n": len(by_prompt),
        "one_pass": _side(once, means(first, "generated"), means(first, "read")),
        "refined": _side(again, means(refined, "generated"), means(refined, "read")),
        "difference": fmean(again) - fmean(once),
        "ci95": list(paired_interval(again, once)),
    }


def _side(strict: Sequence[float], generated: Sequence[float], read: Sequence[float]) -> dict[str, Any]:
    return {
        "strict_accuracy": fmean(strict),
        "ci95": list(mean_interval(strict)),
        "generated": fmean(generated),
        "read": fmean(read),
    }
