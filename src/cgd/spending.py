"""What generation may cost: a hard cap on tokens or currency, counted over everything a run's store has paid for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cgd.config import BudgetConfig, Price
from cgd.errors import StoppedError
from cgd.records import Request
from cgd.store import Store

# A tokenizer never makes more tokens than there are bytes; beyond them a chat template writes turns and, at most,
# a default system prompt.
_TEMPLATE_TOKENS = 128


class Spending(NamedTuple):
    """The run's budget, and the price of the backend that a stage uses."""

    budget: BudgetConfig = BudgetConfig()
    price: Price | None = None

    def portions(self, store: Store, requests: Sequence[Request], title: str) -> Iterator[Sequence[Request]]:
        """Split requests so that even the dearest outcome of each portion fits what is left of the budget.

        What a portion really cost is known before the next one is measured, so the cap holds by construction and
        most of the budget is used all the same. Without a budget there is one portion.

        Raises:
            StoppedError: not even the next request is sure to fit.
        """
        start = 0
        while start < len(requests):
            fitting = self._fitting(store, requests[start:])
            if not fitting:
                raise StoppedError(self._exhausted(store, title, len(requests) - start))
            yield requests[start : start + fitting]
            start += fitting

    def _fitting(self, store: Store, requests: Sequence[Request]) -> int:
        if self.budget.tokens is None and self.budget.cost is None:
            return len(requests)
        tokens, cost = store.spent()
        for count, request in enumerate(requests):
            prompt, completion = _most_prompt_tokens(request), request.sampling.max_tokens
            tokens += prompt + completion
            cost += self.price.cost(prompt, completion) if self.price else 0.0
            if tokens > (self.budget.tokens or tokens) or cost > (
                cost if self.budget.cost is None else self.budget.cost
            ):
                return count
        return len(requests)

    def _exhausted(self, store: Store, title: str, left: int) -> str:
        tokens, cost = store.spent()
        caps = [f"tokens = {self.budget.tokens:,} ({tokens:,} spent)"] if self.budget.tokens is not None else []
        caps += [f"cost = {self.budget.cost:,} ({cost:,.4f} spent)"] if self.budget.cost is not None else []
        return (
            f"{title}: {left} rows left, and the next one may not fit the budget: {', '.join(caps)}.\n"
            "Everything generated is stored; raise [budget] and give the same command to go on."
        )


UNLIMITED = Spending()


def _most_prompt_tokens(request: Request) -> int:
    return sum(len(message["content"].encode()) for message in request.messages) + _TEMPLATE_TOKENS
