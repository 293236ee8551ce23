"""What a run's store already holds of the requests that the present recipe asks; nothing is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cgd.config import GeneratedConfig
from cgd.generation.collect import collect, retry_longer
from cgd.plan.numbers import NOTHING, Counted
from cgd.records import GeneratedStage, Record, Request
from cgd.store import Store


class Known(NamedTuple):
    """The stored part of one generating stage."""

    records: list[Record]
    """Those that come out of it."""
    counted: Counted
    """Its stored replies, second tries among them."""
    first: int
    """Stored replies that are no second try."""
    cut: int
    """Of these, the ones that are asked again."""
    pending: int
    """Of these, the ones whose second try is not stored."""


NOT_BEGUN = Known([], NOTHING, 0, 0, 0)


def known_stage(
    store: Store,
    stage: GeneratedStage,
    config: GeneratedConfig,
    asked: Sequence[Request],
    identity: Mapping[str, Any],
    seed: int,
) -> Known:
    """Look up a stage's requests; a failed row counts as not there, for the run tries it again."""
    final = first = stored_of(store, asked)
    keys = {request.key for request in first}
    cut = pending = 0
    if config.truncated == "retry":
        replies = store.replies([request.key for request in first])
        second = retry_longer(first, replies, config.longer, identity, seed)
        cut = sum(a is not b for a, b in zip(first, second, strict=True))
        final = stored_of(store, second)
        keys |= {request.key for request in final}
        pending = len(second) - len(final)
    replies = store.replies([request.key for request in final])
    records, _ = collect(stage, final, replies, keep_truncated=config.truncated == "keep")
    return Known(records, count(store, keys), len(first), cut, pending)


def stored_keys(store: Store, requests: Sequence[Request]) -> set[str]:
    """Keys of the requests that have a reply."""
    states = store.states([request.key for request in requests])
    return {key for key, state in states.items() if state != "failed"}


def stored_of(store: Store, requests: Sequence[Request]) -> list[Request]:
    """The requests that have a reply."""
    keys = stored_keys(store, requests)
    return [request for request in requests if request.key in keys]


def count(store: Store, keys: set[str]) -> Counted:
    """Stored replies and their tokens as the backend counted them."""
    (row,) = store.query(
        "SELECT COUNT(*), COALESCE(SUM(prompt_tokens), 0), COALESCE(SUM(completion_tokens), 0) FROM replies "
        "WHERE key IN (SELECT value FROM json_each(?))",
        [json.dumps(sorted(keys))],
    )
    return Counted(*row)
