"""Drafts y': the student answers each prompt as it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cgd.config import DraftConfig
from cgd.records import Prompt, Record, Request, make_request


def requests(prompts: Sequence[Prompt], config: DraftConfig, identity: Mapping[str, Any], seed: int) -> list[Request]:
    """`config.n` requests a prompt, given x alone."""
    return [
        make_request("draft", Record(prompt), prompt.messages, config.sampling, identity, seed, sample)
        for prompt in prompts
        for sample in range(config.n)
    ]
