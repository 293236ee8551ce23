"""Run with: pytest tests/analysis/test_generation.py."""

from __future__ import annotations

import pytest

from cgd.analysis.generation import generation_counts, spend
from cgd.config import Price
from cgd.records import Prompt, Record, Reply
from cgd.store import Store
from tests.builders import add_records, ask, make_prompts


@pytest.fixture
def prompts() -> list[Prompt]:
    return make_prompts(["1 + 3?", "2 + 2?", "3 + 1?", "0 + 4?"])


def test_generation_is_counted_by_stage_and_state(store: Store, prompts: list[Prompt]) -> None:
    """Four drafts of which one failed, three critiques of which one failed, two refinements; 10 tokens each."""
    texts = [("d", "Right.", "r"), ("d", "Wrong.", "r"), ("d", None), (None,)]
    add_records(store, prompts, texts)
    counts = generation_counts(store)
    assert counts["draft"] == {
        **{"done": 3, "truncated": 0, "failed": 1, "completion_tokens": 30},
        "failures": {"Timeout": 1},
        "broken": 0,
    }
    assert counts["critique"]["verdicts"] == {"right": 1, "wrong": 1, "none": 0}
    assert (counts["critique"]["done"], counts["critique"]["failed"]) == (2, 1)
    assert counts["refinement"] == {
        **{"done": 2, "truncated": 0, "failed": 0, "completion_tokens": 20},
        "failures": {},
        "broken": 0,
    }


def test_rows_of_an_earlier_recipe_are_not_counted(store: Store, prompts: list[Prompt]) -> None:
    add_records(store, prompts, [("d", "c", "r")] * 4)
    with store.transaction() as db:
        db.execute("DELETE FROM current WHERE stage = 'draft' AND position > 0")
    assert generation_counts(store)["draft"]["done"] == 1


def test_every_attempt_at_every_row_was_paid_for(store: Store, prompts: list[Prompt]) -> None:
    """Two tries of one draft with 100 + 10 tokens each, and one of another: 300 + 30 tokens.

    At 2 for a million prompt tokens and 10 for a million new ones: (300 * 2 + 30 * 10) / 10^6 = 0.0009. Two rows were
    kept: 165 tokens and 0.00045 each.
    """
    store.add_prompts(prompts)
    first, second = (ask("draft", Record(prompt), "m") for prompt in prompts[:2])
    failed = Reply(first.key, "", "content_filter", 100, 10)
    done = Reply(second.key, "4", "stop", 100, 10)
    price = Price(input=2, output=10)
    for _ in range(2):
        store.add_replies([(first, failed, "failed", None)], backend="{}", parser="plain 1", price=price)
    store.add_replies([(second, done, "done", "4")], backend="{}", parser="plain 1", price=price)
    account = spend(store, [{"rows": 2}])
    assert account["stages"] == {
        "draft": {
            "rows": 2,
            "attempts": 3,
            "prompt_tokens": 300,
            "completion_tokens": 30,
            "cost": pytest.approx(0.0009),
        }
    }
    assert account["per_kept_row"] == {"tokens": 165, "cost": pytest.approx(0.00045)}
    tokens, cost = store.spent()
    assert (tokens, round(cost, 10)) == (330, 0.0009)


def test_nothing_kept_has_no_cost_a_row(store: Store, prompts: list[Prompt]) -> None:
    add_records(store, prompts, [("d", "c", "r")] * 4)
    account = spend(store, [])
    assert (account["kept_rows"], account["per_kept_row"]) == (0, None)
    assert [stage["rows"] for stage in account["stages"].values()] == [4, 4, 4]
