"""Replies → records: what a stage's rows add to what was known, and what is left out with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from cgd.records import Record, Request
from cgd.store import Drop, StoredReply


def collect(
    stage: Literal["draft", "critique", "refinement"], requests: Sequence[Request], replies: Mapping[str, StoredReply]
) -> tuple[list[Record], list[Drop]]:
    """Extend each request's record by its reply.

    Failed rows are left out. A reply cut at max_tokens is left out too, unless it is a draft: a cut draft
    is an honest mistake to criticise, a cut critique or refinement would teach the student to break off.
    """
    records, drops = [], []
    for request in requests:
        reply = replies[request.key]
        if reply.text is None:
            drops.append(Drop(request.record.id, f"{stage} failed: {reply.error_class}"))
        elif reply.state == "truncated" and stage != "draft":
            drops.append(Drop(request.record.id, f"{stage} cut at max_tokens"))
        else:
            records.append(request.record.with_reply(stage, reply.key, reply.text))
    return records, drops
