"""The one durable loop: requests → stored rows. Generation and evaluation both call it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from cgd.errors import StoppedError
from cgd.plugins import Backend
from cgd.progress import StageProgress
from cgd.records import Reply, Request, State
from cgd.store import Store, StoredReply
from cgd.text import PARSERS, encodable, parse_reply

_GROUP = 128  # most replies of one commit
_GATHER_S = 0.01  # a batch's replies arrive together: wait for them, so that they are committed together


class Sampled(NamedTuple):
    """Outcome of a stage."""

    replies: dict[str, StoredReply]
    made: int


def sample(
    store: Store, backend: Backend, requests: Sequence[Request], *, title: str, max_failed_share: float
) -> Sampled:
    """Generate what the store does not hold yet, and return the rows of all requests by key.

    Replies are committed in groups as they arrive; a failed row is stored with its error and asked again next time.

    Args:
        store: where rows go; its prompts hold every request's prompt.
        backend: what generates.
        requests: all of one stage.
        title: shown beside the progress bar.
        max_failed_share: of the requests.

    Raises:
        UserError: the backend can't serve these requests at all.
        StoppedError: more than `max_failed_share` of the requests failed.
    """
    keys = list(dict.fromkeys(request.key for request in requests))

    def too_many(failed: int) -> bool:
        return failed > 0 and failed / len(keys) > max_failed_share  # 0.29 * 100 would be less than 29

    known = store.replies(keys)
    pending = [r for r in {r.key: r for r in requests}.values() if r.key not in known or known[r.key].state == "failed"]
    if pending:
        backend.check(pending)
        with StageProgress(title, len(pending)) as progress:
            asyncio.run(_generate(store, backend, pending, progress, too_many))
    replies = store.replies(keys)
    failed = [reply for reply in replies.values() if reply.state == "failed"]
    if too_many(len(failed)):
        raise _stopped(title, failed, len(keys), max_failed_share)
    if len(replies) < len(keys):
        raise RuntimeError(f"backend {backend.identity} gave no reply to {len(keys) - len(replies)} requests")
    return Sampled(replies, len(pending))


class Reparsed(NamedTuple):
    """What a second parsing of the stored raw replies changed."""

    changed: int
    recovered: int
    lost: int


def reparse(store: Store) -> Reparsed:
    """Parse every stored raw reply again under its stage's present rule; nothing is generated.

    A verdict on a prediction whose text changed is forgotten, so that the next run grades it again.

    Returns:
        Rows whose text or state changed; of these, failed rows that now have a text, and rows that lost theirs.
    """
    updates = []
    recovered = lost = 0
    for row in store.raw_replies():
        raw = Reply(row.key, row.raw, row.finish_reason)
        reply, state, text = _judge(row.stage, raw)
        if (text, state) != (row.text, row.state):
            updates.append((row.key, state, text, PARSERS[row.stage], reply.error_class, reply.error))
            recovered += row.text is None
            lost += text is None
    store.replace_parsed(updates)
    return Reparsed(len(updates), recovered, lost)


async def _generate(
    store: Store, backend: Backend, pending: Sequence[Request], progress: StageProgress, too_many: Callable[[int], bool]
) -> None:
    """Move replies from the backend into the store; whatever has arrived when it ends or breaks is committed.

    It ends early where `too_many` rows have failed: a server that refuses everything is not asked for
    the rest.

    The queue makes the groups: while one group is being committed the next one gathers, so commits are
    small under light load (nothing waits for company) and large under heavy load.
    """
    by_key = {request.key: request for request in pending}
    identity = json.dumps(dict(backend.identity), ensure_ascii=False, sort_keys=True)
    queue: asyncio.Queue[Reply | None] = asyncio.Queue()

    async def produce() -> None:
        try:
            async for reply in backend.generate(pending):
                await queue.put(reply)
        finally:
            await queue.put(None)

    producer = asyncio.create_task(produce())
    open_ended, failed = True, 0
    try:
        while open_ended and not too_many(failed):
            group = [await queue.get()]
            await asyncio.sleep(_GATHER_S)
            while not queue.empty() and len(group) < _GROUP:
                group.append(queue.get_nowait())
            open_ended = None not in group
            failed += _commit(store, identity, by_key, [reply for reply in group if reply], progress)
        if not open_ended:
            await producer
    finally:
        producer.cancel()
        await asyncio.gather(producer, return_exceptions=True)
        _commit(store, identity, by_key, [r for r in _drain(queue) if r], progress)


def _drain(queue: asyncio.Queue[Reply | None]) -> list[Reply | None]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


def _commit(
    store: Store, identity: str, by_key: dict[str, Request], replies: Sequence[Reply], progress: StageProgress
) -> int:
    """Store a group of replies; returns how many of them are failed rows."""
    if not replies:
        return 0
    stage = by_key[replies[0].key].stage
    rows = [(by_key[reply.key], *_judge(stage, reply)) for reply in replies]
    store.add_replies(rows, backend=identity, parser=PARSERS[stage])
    progress.advance(len(replies), sum(reply.completion_tokens for reply in replies))
    return sum(state == "failed" for _, _, state, _ in rows)


def _judge(stage: str, reply: Reply) -> tuple[Reply, State, str | None]:
    """State and parsed text of a raw reply; no text under the stage's rule = a failed row with its raw text."""
    if reply.text is None:
        return replace(reply, error=encodable(reply.error or "")), "failed", None
    reply = replace(reply, text=encodable(reply.text))
    text = parse_reply(stage, reply.text or "")
    if text is None:
        return replace(reply, error_class="NoParse", error=f"no text under rule {PARSERS[stage]}"), "failed", None
    return reply, "truncated" if reply.finish_reason == "length" else "done", text


def _stopped(title: str, failed: Sequence[StoredReply], total: int, max_failed_share: float) -> StoppedError:
    classes = Counter(reply.error_class for reply in failed).most_common(3)
    return StoppedError(
        f"{title}: {len(failed)} of {total} rows failed ({', '.join(f'{n} {name}' for name, n in classes)}), more "
        f"than max_failed_share = {max_failed_share}. First error: {failed[0].error}\n"
        "Everything generated is stored; the same command tries the failed rows again."
    )
