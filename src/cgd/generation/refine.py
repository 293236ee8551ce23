"""Refinements ŷ: the teacher reads (x, y', c) and writes the corrected answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cgd.config import RefinementConfig
from cgd.prompts import conversation_text, render
from cgd.records import Message, Record, Request, make_request

TEMPLATE = "refinement.jinja"


def requests(
    records: Sequence[Record], config: RefinementConfig, identity: Mapping[str, Any], seed: int
) -> list[Request]:
    """One request a record that has a draft and a critique."""
    return [
        make_request("refinement", record, _messages(record, config), config.sampling, identity, seed)
        for record in records
    ]


def _messages(record: Record, config: RefinementConfig) -> list[Message]:
    text = render(
        config.prompt or TEMPLATE,
        prompt=conversation_text(record.prompt.messages),
        draft=record.draft,
        critique=record.critique,
    )
    return [{"role": "user", "content": text}]
