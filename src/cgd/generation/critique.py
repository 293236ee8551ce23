"""Critiques c: the teacher reads (x, y') and says what is wrong with that very draft."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cgd.config import CritiqueConfig
from cgd.prompts import conversation_text, render
from cgd.records import Message, Record, Request, make_request

TEMPLATE = "critique.jinja"


def requests(
    records: Sequence[Record], config: CritiqueConfig, identity: Mapping[str, Any], seed: int
) -> list[Request]:
    """`config.n` requests a record that has a draft."""
    return [
        make_request("critique", record, _messages(record, config), config.sampling, identity, seed, sample)
        for record in records
        for sample in range(config.n)
    ]


def _messages(record: Record, config: CritiqueConfig) -> list[Message]:
    text = render(config.prompt or TEMPLATE, prompt=conversation_text(record.prompt.messages), draft=record.draft)
    return [{"role": "user", "content": text}]
