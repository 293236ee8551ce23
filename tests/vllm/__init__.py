"""What the tests of vLLM share: they run where it is installed (`make test-vllm`), with the real built-in weights."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

import pytest

from tests.backends.real_weights import MODEL

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
