"""What of the test splits stands in the training data: prompts, critiques and refinements, each by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cgd.analysis.statistics import wilson_interval
from cgd.overlap import OverlapIndex
from cgd.prompts import conversation_text
from cgd.records import Prompt
from cgd.store import Drop, Store, load_messages

FIELDS = ("prompt", "critique", "refinement")
_LISTED = 10
_MOST = 0.5
_MADE = "SELECT prompt_id, critique, refinement FROM records"
_TESTS = "SELECT DISTINCT task, prompt_id, prompt FROM predictions ORDER BY task, prompt_id"

Texts = Mapping[str, str]
"""Texts by prompt id."""


class Contaminated(NamedTuple):
    """A field of a training row that overlaps a test prompt; `share` and `equal` as in `cgd.overlap.Overlap`."""

    training_id: str
    """Prompt id of the training row."""
    field: str
    task: str
    test_id: str
    """Prompt id of the test prompt."""
    share: float
    equal: bool


def contamination(store: Store, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Overlap of a run's training data with the prompts that its checkpoints were tested on, as `summarise` gives it.

    Args:
        store: of the run, with its records and predictions.
        prompts: of the training split; a run whose arms need no critiques has them alone.
    """
    rows = [{"prompt_id": prompt.id, "prompt": conversation_text(prompt.messages)} for prompt in prompts]
    rows += [dict(row) for row in store.query(_MADE)]
    tests: dict[str, dict[str, str]] = {}
    for row in store.query(_TESTS):
        tests.setdefault(row["task"], {})[row["prompt_id"]] = conversation_text(load_messages(row["prompt"]))
    return summarise(find_contaminated(rows, tests), tests)


def find_contaminated(rows: Sequence[Mapping[str, Any]], tests: Mapping[str, Texts]) -> list[Contaminated]:
    """Every field of every row that shares thirteen words in a row with a test prompt, or equals it.

    Args:
        rows: training rows, of which several may share a prompt: `prompt_id` and, as text, those of `FIELDS` that
            there are.
        tests: by task, the test prompts.

    Returns:
        One entry a training prompt, field and test prompt: that of the largest share.
    """
    index = OverlapIndex({task: list(prompts.values()) for task, prompts in tests.items()})
    names = {task: list(prompts) for task, prompts in tests.items()}
    found: dict[tuple[str, ...], Contaminated] = {}
    for field in FIELDS:
        texts = dict.fromkeys((row["prompt_id"], row[field]) for row in rows if row.get(field))
        ids = [prompt_id for prompt_id, _ in texts]
        for text, task, test, share, equal in index.search([text for _, text in texts]):
            entry = Contaminated(ids[text], field, task, names[task][test], share, equal)
            best = found.setdefault(entry[:4], entry)
            if (entry.equal, entry.share) > (best.equal, best.share):
                found[entry[:4]] = entry
    return list(found.values())


def summarise(found: Sequence[Contaminated], tests: Mapping[str, Texts]) -> dict[str, Any]:
    """Account of what was found, ready for JSON.

    Returns:
        By task and field: `n_tests`; `n_overlaps`, test prompts that the field overlaps in any row, of which `n_most`
        by half of their n-grams or more and `n_equal` word for word; `share` = n_overlaps / n_tests with Wilson's
        interval `ci95`; `n_training`, training prompts concerned; `first`, ten pairs, the largest shares first.
    """
    return {
        task: {
            field: _account([one for one in found if (one.task, one.field) == (task, field)], len(prompts))
            for field in FIELDS
        }
        for task, prompts in tests.items()
        if prompts
    }


def removals(found: Sequence[Contaminated]) -> list[Drop]:
    """Training prompts to be left out, each once, with the first overlap as its reason."""
    reasons: dict[str, str] = {}
    for one in found:
        how = "equals" if one.equal else "shares 13 words in a row with"
        reasons.setdefault(one.training_id, f"its {one.field} {how} test prompt {one.test_id} of {one.task}")
    return [Drop(training_id, reason) for training_id, reason in reasons.items()]


def _account(found: Sequence[Contaminated], n_tests: int) -> dict[str, Any]:
    tests = {one.test_id for one in found}
    first = sorted(found, key=lambda one: (not one.equal, -one.share))[:_LISTED]
    return {
        "n_tests": n_tests,
        "n_overlaps": len(tests),
        "n_most": len({one.test_id for one in found if one.share >= _MOST}),
        "n_equal": len({one.test_id for one in found if one.equal}),
        "share": len(tests) / n_tests,
        "ci95": list(wilson_interval(len(tests), n_tests)),
        "n_training": len({one.training_id for one in found}),
        "first": [one._asdict() for one in first],
    }
