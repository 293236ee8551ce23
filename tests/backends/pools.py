"""What the tests of `ray_pool` share: pools of the fragile backend, and what they do in processes of their own."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cgd.config import Sampling
from cgd.plugins import Backend, build_backend
from cgd.records import Record, Reply, Request, make_request
from cgd.sampling import sample
from cgd.store import Store
from tests.builders import make_prompts

FRAGILE = "tests.backends.fragile"


def pool_of(**options: Any) -> Backend:
    return build_backend("ray_pool", {"workers": 2, **options})


def fragile_pool(chunk: int = 64, workers: int = 2, address: str | None = None, **options: Any) -> Backend:
    inner = {"home": os.getpid(), **options}
    return pool_of(backend=FRAGILE, options=inner, chunk=chunk, workers=workers, address=address)


def make_requests(texts: Sequence[str], max_tokens: int = 16) -> list[Request]:
    sampling = Sampling(max_tokens=max_tokens)
    return [
        make_request("draft", Record(prompt), prompt.messages, sampling, {"model": "x"}, 0)
        for prompt in make_prompts(texts)
    ]


def replies_of(backend: Backend, asked: Sequence[Request]) -> list[Reply]:
    async def collect() -> list[Reply]:
        return [reply async for reply in backend.generate(asked)]

    return asyncio.run(collect())


def asked_of(store: Store, texts: Sequence[str], max_tokens: int = 16) -> list[Request]:
    requests = make_requests(texts, max_tokens)
    store.add_prompts([request.record.prompt for request in requests])
    return requests


def wait_for_the_end_of(servers: Iterable[str]) -> None:
    """Workers by the names that their replies carry."""
    deadline = time.monotonic() + 60
    for process in (Path("/proc") / server.rpartition(":")[2] for server in servers):
        while process.exists():
            assert time.monotonic() < deadline, f"{process} goes on"
            time.sleep(0.05)


def join(address: str) -> None:
    """Two rows on the cluster at an address, in a process of its own."""
    pool = fragile_pool(workers=1, address=address)
    print(sorted(reply.text or "" for reply in replies_of(pool, make_requests(["a", "b"]))))
    pool.close()


def interruptible(path: str) -> None:
    """A stage of a hundred rows that takes twenty seconds."""
    store = Store(Path(path))
    asked = asked_of(store, [f"t{number}" for number in range(100)])
    sample(store, fragile_pool(pause_s=0.4), asked, title="draft", max_failed_share=0.0)
