"""What the tests of vLLM share: they run where it is installed (`make test-vllm`), with the real built-in weights."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest

from cgd.config import Sampling
from cgd.plugins import Backend
from cgd.records import Record, Reply, Request, make_request
from tests.builders import make_prompts

MODEL = "smollm2-135m-instruct"
# Plain kernels and a small cache: the engine starts in seconds, beside whatever else the machine does.
OPTIONS: dict[str, Any] = {
    "model": MODEL,
    "dtype": "float32",
    "max_model_len": 512,
    "max_num_seqs": 8,
    "engine": {"enforce_eager": True, "kv_cache_memory_bytes": 2**28},
}
NEEDS_VLLM = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed in this environment: make test-vllm"),
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),  # vLLM's own
]


def without_test_cache(cache_of_the_user: str | None) -> dict[str, str]:
    """The environment of a subprocess that may use the user's cache of weights."""
    environment = {key: value for key, value in os.environ.items() if key != "CGD_CACHE"}
    return environment if cache_of_the_user is None else environment | {"CGD_CACHE": cache_of_the_user}


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


def ask(backend: Backend, requests: Sequence[Request]) -> dict[str, Reply]:
    async def collect() -> dict[str, Reply]:
        return {reply.key: reply async for reply in backend.generate(requests)}

    return asyncio.run(collect())
