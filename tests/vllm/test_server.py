"""Run with: make test-vllm. `openai_api` against a real vLLM server."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgd.chat import encode_chat, load_tokenizer
from cgd.errors import UserError
from cgd.models import model_folder
from cgd.plugins import build_backend
from cgd.sampling import sample
from cgd.store import Store
from tests.backends.real_weights import MODEL, make_requests, own_cache, replies_by_key
from tests.vllm import NEEDS_VLLM, without_test_cache

pytestmark = NEEDS_VLLM
STARTS_WITHIN_S = 300


@pytest.fixture(scope="module")
def real_weights(cache_of_the_user: str | None) -> Iterator[None]:
    with own_cache(cache_of_the_user):
        yield


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def base_url(
    real_weights: None, cache_of_the_user: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A server of vLLM's in a process of its own, until the tests of this file are over.

    Its module, not the command `vllm`: the one that comes with the build for CPUs looks for a package of another name.
    """
    port, log = free_port(), tmp_path_factory.mktemp("serve") / "log"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model_folder(MODEL))]
    command += ["--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--max-model-len", "512", "--kv-cache-memory-bytes", str(2**28), "--enforce-eager"]
    environment = without_test_cache(cache_of_the_user)
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=stream, env=environment) as server:
        try:
            deadline = time.monotonic() + STARTS_WITHIN_S
            while not healthy(port):
                assert server.poll() is None and time.monotonic() < deadline, log.read_text()[-4000:]
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_stage_is_filled_and_not_asked_twice(base_url: str, tmp_path: Path) -> None:
    """12 drafts; prompt tokens are those of our own template and tokenizer."""
    store, tokenizer = Store(tmp_path / "run.sqlite"), load_tokenizer(model_folder(MODEL))
    requests = make_requests([f"What is {number} + 1?" + " Say why." * number for number in range(12)], max_tokens=8)
    store.add_prompts([request.record.prompt for request in requests])
    backend = build_backend("openai_api", {"model": MODEL, "base_url": base_url})
    first = sample(store, backend, requests, title="draft", max_failed_share=0)
    assert first.made == 12 and all(reply.text for reply in first.replies.values())
    counts = {row["key"]: row["prompt_tokens"] for row in store.query("SELECT key, prompt_tokens FROM replies")}
    assert counts == {request.key: len(encode_chat(tokenizer, request.messages)) for request in requests}
    assert sample(store, backend, requests, title="draft", max_failed_share=0).made == 0


def test_a_reply_says_whether_it_was_cut(base_url: str) -> None:
    backend = build_backend("openai_api", {"model": MODEL, "base_url": base_url})
    (whole,) = make_requests(["What is the capital of France?"], max_tokens=40)
    (cut,) = make_requests(["What is the capital of France?"], max_tokens=3)
    replies = replies_by_key(backend, [whole, cut])
    assert (replies[cut.key].finish_reason, replies[cut.key].completion_tokens) == ("length", 3)
    assert replies[whole.key].finish_reason == "stop" and "Paris" in str(replies[whole.key].text)


def test_a_model_that_the_server_does_not_know_is_the_users_mistake(base_url: str) -> None:
    backend = build_backend("openai_api", {"model": "no-such-model", "base_url": base_url})
    with pytest.raises(UserError, match="answered 404: .*no-such-model"):
        replies_by_key(backend, make_requests(["Say hello."]))
