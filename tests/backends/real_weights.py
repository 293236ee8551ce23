"""The built-in model with its real weights: the user's cache of it, requests to it, and what a backend answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from cgd.config import Sampling
from cgd.plugins import Backend
from cgd.records import Record, Reply, Request, make_request
from tests.builders import make_prompts

MODEL = "smollm2-135m-instruct"


@contextmanager
def own_cache(cache_of_the_user: str | None) -> Iterator[None]:
    """The weights of the user's cache, fetched there if need be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CGD_CACHE")
        if cache_of_the_user is not None:
            patch.setenv("CGD_CACHE", cache_of_the_user)
        yield


def make_requests(texts: Sequence[str], temperature: float = 0.0, max_tokens: int = 16, n: int = 1) -> list[Request]:
    sampling = Sampling(max_tokens=max_tokens, temperature=temperature)
    return [
        make_request("draft", Record(prompt), prompt.messages, sampling, {"model": MODEL}, 0, number)
        for prompt in make_prompts(texts)
        for number in range(n)
    ]


def replies_by_key(backend: Backend, requests: Sequence[Request]) -> dict[str, Reply]:
    async def collect() -> dict[str, Reply]:
        return {reply.key: reply async for reply in backend.generate(requests)}

    return asyncio.run(collect())
