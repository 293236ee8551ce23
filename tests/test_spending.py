"""Run with: pytest tests/test_spending.py."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.config import BudgetConfig, Price, Sampling
from cgd.errors import StoppedError
from cgd.records import Record, Reply, Request, make_request
from cgd.sampling import sample
from cgd.spending import UNLIMITED, Spending
from cgd.store import Store
from tests.builders import make_prompts

PRICE = Price(input=1e6, output=2e6)  # 1 a prompt token, 2 a new one


class Paid:
    """A test double whose replies take the tokens it is told to take, in turn."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = tokens
        self.calls: list[int] = []

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"model": "double"}

    def check(self, requests: Sequence[Request]) -> None: ...

    async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
        self.calls.append(len(requests))
        for request in requests:
            new = self.tokens[request.sample % len(self.tokens)]
            yield Reply(request.key, "4", "stop", prompt_tokens=5, completion_tokens=new)

    def stop(self) -> None: ...

    def close(self) -> None: ...


def requests_of(store: Store, count: int, max_tokens: int = 100) -> list[Request]:
    """The same 10-byte prompt, several times."""
    (prompt,) = make_prompts(["1234567890"])
    store.add_prompts([prompt])
    sampling = Sampling(max_tokens=max_tokens, temperature=1)
    return [make_request("draft", Record(prompt), prompt.messages, sampling, {}, 0, sample=i) for i in range(count)]


def make(store: Store, backend: Paid, requests: Sequence[Request], spending: Spending) -> int:
    return sample(store, backend, requests, title="draft", max_failed_share=0.1, spending=spending).made


def test_without_a_budget_everything_is_asked_at_once(store: Store) -> None:
    backend = Paid([100])
    assert make(store, backend, requests_of(store, 30), UNLIMITED) == 30
    assert backend.calls == [30]


def test_a_portion_is_as_large_as_its_dearest_outcome_allows(store: Store) -> None:
    """A request may take 10 + 128 + 100 = 238 tokens and takes 5 + 20 = 25; there are 1000 to begin with.

    4 fit (952), 900 are left; 3 fit (714), 825 left; 3, 750 left; 3, 675; 2, 625; 2, 575; 2, 525; 2, 475; 1, 450;
    1, 425; 1, ... until 225 are left, where the next one may not fit: after 4+3+3+3+2+2+2+2 = 21 come 10 single ones.
    """
    backend = Paid([20])
    with pytest.raises(StoppedError) as caught:
        make(store, backend, requests_of(store, 100), Spending(BudgetConfig(tokens=1000)))
    assert backend.calls == [4, 3, 3, 3, 2, 2, 2, 2] + [1] * 10
    assert store.spent()[0] == 31 * 25
    assert "draft: 69 rows left" in str(caught.value)
    assert "tokens = 1,000 (775 spent)" in str(caught.value)


def test_a_raised_budget_goes_on_and_nothing_is_paid_twice(store: Store) -> None:
    requests = requests_of(store, 40)
    with pytest.raises(StoppedError):
        make(store, Paid([20]), requests, Spending(BudgetConfig(tokens=500)))
    stored = store.query("SELECT COUNT(*) FROM replies")[0][0]
    assert 0 < stored < 40
    assert make(store, Paid([20]), requests, Spending(BudgetConfig(tokens=100_000))) == 40 - stored
    assert store.spent()[0] == 40 * 25


def test_a_budget_of_currency_counts_what_has_a_price(store: Store) -> None:
    """A request may cost 138 + 200 = 338 and costs 5 + 40 = 45: of 800, 2 fit, then 710 are left: 2 more, ..."""
    backend = Paid([20])
    with pytest.raises(StoppedError, match=r"cost = 800\.0 \(\d+\.0000 spent\)"):
        make(store, backend, requests_of(store, 100), Spending(BudgetConfig(cost=800), PRICE))
    assert backend.calls[:2] == [2, 2]
    assert 800 - 338 < store.spent()[1] <= 800
    assert make(store, Paid([20]), requests_of(store, 100), Spending(BudgetConfig(cost=800))) > 0, "it is free here"


@settings(deadline=None, max_examples=30)
@given(
    cap=st.integers(200, 5000),
    tokens=st.lists(st.integers(0, 100), min_size=1, max_size=10),
    count=st.integers(1, 60),
)
def test_the_cap_is_never_exceeded_whatever_replies_cost(cap: int, tokens: list[int], count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "run.sqlite")
        try:
            assert make(store, Paid(tokens), requests_of(store, count), Spending(BudgetConfig(tokens=cap))) == count
        except StoppedError:
            assert store.spent()[0] > cap - 238, "it stops only where the next request may not fit"
        assert store.spent()[0] <= cap
        store.close()
