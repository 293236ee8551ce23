"""Requests to the local backend, and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from cgd.backends.hf import HfBackend, Options, build
from cgd.config import Sampling
from cgd.records import Message, Prompt, Record, Reply, Request, make_request

GREEDY = Sampling(max_tokens=12)
SAMPLED = Sampling(max_tokens=12, temperature=1.0, top_p=0.9)


def user(text: str) -> tuple[Message, ...]:
    return ({"role": "user", "content": text},)


def requests(sampling: Sampling, n: int = 7, samples: int = 1) -> list[Request]:
    """Prompts of different lengths, longest in the middle."""
    texts = [f"Ana has {i} apples." + " How many are left?" * (i * 3 % n) for i in range(n)]
    return [
        make_request("draft", Record(Prompt.create(f"p{i}", user(text))), user(text), sampling, {"model": "x"}, 0, s)
        for i, text in enumerate(texts)
        for s in range(samples)
    ]


def replies_of(backend: HfBackend, asked: Sequence[Request]) -> dict[str, Reply]:
    async def collect() -> list[Reply]:
        return [reply async for reply in backend.generate(asked)]

    replies = asyncio.run(collect())
    assert sorted(reply.key for reply in replies) == sorted(request.key for request in asked)
    return {reply.key: reply for reply in replies}


def texts_of(backend: HfBackend, asked: Sequence[Request]) -> dict[str, str | None]:
    return {key: reply.text for key, reply in replies_of(backend, asked).items()}


def backend_of(folder: Path, batch_size: int = 4) -> HfBackend:
    return build(Options(model=str(folder), batch_size=batch_size))
