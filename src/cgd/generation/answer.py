"""The teacher's own answers: it reads x alone, as a student trained by plain distillation will."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cgd.config import GeneratedConfig
from cgd.records import Record, Request, make_request


def requests(
    records: Sequence[Record], config: GeneratedConfig, identity: Mapping[str, Any], seed: int
) -> list[Request]:
    """One request a record; records of the same prompt share its row."""
    return [
        make_request("teacher_answer", record, record.prompt.messages, config.sampling, identity, seed, upstream="")
        for record in records
    ]
