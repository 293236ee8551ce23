"""Replies → records: what a stage's rows add to what was known, and what is left out with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cgd.config import Sampling
from cgd.records import GeneratedStage, Record, Request, make_request
from cgd.store import Drop, StoredReply


def collect(
    stage: GeneratedStage,
    requests: Sequence[Request],
    replies: Mapping[str, StoredReply],
    *,
    keep_truncated: bool,
) -> tuple[list[Record], list[Drop]]:
    """Extend each request's record by its reply; failed rows, and cut ones that are not kept, are left out."""
    records, drops = [], []
    for request in requests:
        reply = replies[request.key]
        if reply.text is None:
            drops.append(Drop(request.record.id, f"{stage} failed: {reply.error_class}"))
        elif reply.state == "truncated" and not keep_truncated:
            drops.append(Drop(request.record.id, f"{stage} cut at max_tokens"))
        else:
            records.append(request.record.with_reply(stage, reply.key, reply.text))
    return records, drops


def retry_longer(
    requests: Sequence[Request],
    replies: Mapping[str, StoredReply],
    longer: Sampling,
    identity: Mapping[str, Any],
    seed: int,
) -> list[Request]:
    """The requests, those whose reply was cut replaced by one with more room; it is a row of its own."""
    return [
        make_request(r.stage, r.record, r.messages, longer, identity, seed, r.sample, upstream=r.upstream)
        if replies[r.key].state == "truncated"
        else r
        for r in requests
    ]
