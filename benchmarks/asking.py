"""Requests and prompts for benchmarks, and the name under which a server knows a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cgd.config import Sampling
from cgd.records import Message, Prompt, Record, Request, content_hash, make_request


def make_requests(texts: Sequence[str], identity: Mapping[str, Any], max_tokens: int = 64) -> list[Request]:
    """One greedy draft a text."""
    sampling = Sampling(max_tokens=max_tokens)
    prompts = [Prompt.create(f"item-{index}", [_user(text)]) for index, text in enumerate(texts)]
    return [make_request("draft", Record(prompt), prompt.messages, sampling, identity, 0) for prompt in prompts]


def asked_for(messages: Sequence[Mapping[str, str]], seed: int) -> str:
    """What tells requests apart at the server: messages and seed, as 16 hex digits."""
    return content_hash([list(messages), seed])[:16]


def _user(text: str) -> Message:
    return {"role": "user", "content": text}
