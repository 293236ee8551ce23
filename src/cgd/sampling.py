"""The one durable loop: requests → stored rows. Generation and evaluation both call it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from cgd import launch
from cgd.errors import StoppedError, UserError
from cgd.plugins import Backend
from cgd.progress import StageProgress
from cgd.records import Reply, Request, State
from cgd.spending import UNLIMITED, Spending
from cgd.store import Store, StoredReply
from cgd.text import PARSERS, encodable, parse_reply

_GROUP = 128  # most replies of one commit
_GATHER_S = 0.01  # a batch's replies arrive together: wait for them, so that they are committed together
_HOPELESS = 20  # failures before any success, after which the rest is not asked


class Sampled(NamedTuple):
    """Outcome of a stage."""

    replies: dict[str, StoredReply]
    made: int


def sample(
    store: Store,
    backend: Backend,
    requests: Sequence[Request],
    *,
    title: str,
    max_failed_share: float,
    spending: Spending = UNLIMITED,
) -> Sampled:
    """Generate what the store does not hold yet, and return the rows of all requests by key.

    Replies are committed in groups as they arrive; a failed row is stored with its error and asked again next time.
    The first Ctrl+C (or SIGTERM) waits for what is in flight, the second drops it.

    Args:
        store: where rows go; its prompts hold every request's prompt.
        backend: what generates.
        requests: all of one stage.
        title: shown beside the progress bar.
        max_failed_share: of the requests.
        spending: the backend's price and the run's budget.

    Raises:
        UserError: the backend can't serve these requests at all, or rows are missing where several processes train.
        StoppedError: more than `max_failed_share` of the requests failed, or the next one may not fit the budget.
        KeyboardInterrupt: interrupted; what had arrived is stored.
    """
    keys = list(dict.fromkeys(request.key for request in requests))
    states = store.states(keys)
    pending = [r for r in {r.key: r for r in requests}.values() if states.get(r.key, "failed") == "failed"]
    if launch.processes() > 1:
        _refuse_to_generate(title, len(keys) - len(states), len(keys))
        pending = []  # failed rows are tried again by a process alone
    if pending:
        backend.check(pending)
        failures = _Failures(len(keys), max_failed_share)
        with StageProgress(title, len(pending)) as progress:
            stage = _Stage(store, backend, spending, progress, failures)
            for portion in spending.portions(store, pending, title):
                stage.run(portion)
                if failures.too_many():
                    break
    replies = store.replies(keys)
    failed = [reply for reply in replies.values() if reply.state == "failed"]
    missing = len(keys) - len(replies)
    if failed and (missing or len(failed) / len(keys) > max_failed_share):
        raise _stopped(title, failed, missing, len(keys), max_failed_share)
    if missing:
        raise RuntimeError(f"backend {backend.identity} gave no reply to {missing} requests")
    return Sampled(replies, len(pending))


def _refuse_to_generate(title: str, missing: int, total: int) -> None:
    if missing:
        raise UserError(
            f"{missing} of {total} rows of stage {title!r} are missing, and {launch.processes()} processes that train "
            "together generate none: make them first with `cgd run RECIPE --until refinement`, without a launcher"
        )


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


class _Failures:
    """Counts failed rows, to tell when a stage is hopeless."""

    def __init__(self, total: int, max_share: float) -> None:
        self._total, self._max_share = total, max_share
        self._failed = self._succeeded = 0

    def count(self, states: Sequence[State]) -> None:
        failed = sum(state == "failed" for state in states)
        self._failed += failed
        self._succeeded += len(states) - failed

    def too_many(self) -> bool:
        """More than the share that is borne, or nothing but failures at the start."""
        hopeless = not self._succeeded and self._failed >= _HOPELESS and self._max_share < 1
        return self._failed > 0 and (hopeless or self._failed / self._total > self._max_share)


class _Stage:
    """Moves replies from a backend into the store; whatever has arrived when it ends or breaks is committed."""

    def __init__(
        self, store: Store, backend: Backend, spending: Spending, progress: StageProgress, failures: _Failures
    ) -> None:
        self._store, self._backend, self._price = store, backend, spending.price
        self._progress, self._failures = progress, failures
        self._identity = json.dumps(dict(backend.identity), ensure_ascii=False, sort_keys=True)
        self._interrupts = 0
        self._servers: Counter[str] = Counter()  # completion tokens by server

    def run(self, requests: Sequence[Request]) -> None:
        """Ask for replies and commit them, until there are no more, too many failed, or it is interrupted."""
        try:
            asyncio.run(self._generate(requests))
        except asyncio.CancelledError:
            if not self._interrupts:
                raise
        if self._interrupts:
            raise KeyboardInterrupt

    async def _generate(self, requests: Sequence[Request]) -> None:
        """The queue makes the groups: while one group is being committed the next one gathers.

        So commits are small under light load (nothing waits for company) and large under heavy load.
        """
        by_key = {request.key: request for request in requests}
        queue: asyncio.Queue[Reply | None] = asyncio.Queue()

        async def produce() -> None:
            try:
                async for reply in self._backend.generate(requests):
                    queue.put_nowait(reply)
            finally:
                queue.put_nowait(None)

        producer = asyncio.create_task(produce())
        group: list[Reply | None] = []  # gathered, not committed
        open_ended = True
        try:
            with self._interruptible():
                while open_ended and not self._failures.too_many():
                    group.append(await queue.get())
                    await asyncio.sleep(_GATHER_S)
                    while not queue.empty() and len(group) < _GROUP:
                        group.append(queue.get_nowait())
                    open_ended = None not in group
                    self._commit(by_key, group)
                if not open_ended:
                    await producer
        finally:
            producer.cancel()
            await asyncio.gather(producer, return_exceptions=True)
            self._commit(by_key, group + [queue.get_nowait() for _ in range(queue.qsize())])

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl+C and SIGTERM end the stage instead of the process; a signal that is ignored stays ignored."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def interrupt() -> None:
            self._interrupts += 1
            if self._interrupts == 1:
                print("stopping: waiting for what is in flight (Ctrl+C again drops it) ...", file=sys.stderr)
                self._backend.stop()
            elif task is not None:
                task.cancel()

        handled: list[signal.Signals] = []
        if threading.current_thread() is threading.main_thread():  # the only one that may handle signals
            handled = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is not signal.SIG_IGN]
        for number in handled:
            loop.add_signal_handler(number, interrupt)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    def _commit(self, by_key: dict[str, Request], group: list[Reply | None]) -> None:
        """Store what is in the group, and empty it."""
        replies = [reply for reply in group if reply]
        if replies:
            stage = by_key[replies[0].key].stage
            rows = [(by_key[reply.key], *_judge(stage, reply)) for reply in replies]
            self._store.add_replies(rows, backend=self._identity, parser=PARSERS[stage], price=self._price)
            self._failures.count([state for _, _, state, _ in rows])
            for reply in replies:
                self._servers[reply.server] += reply.completion_tokens
            tokens = sum(reply.completion_tokens for reply in replies)
            self._progress.advance(len(replies), tokens, self._progress.rates(self._servers))
        group.clear()


def _judge(stage: str, reply: Reply) -> tuple[Reply, State, str | None]:
    """State and parsed text of a raw reply; no text under the stage's rule = a failed row with its raw text."""
    if reply.text is None:
        return replace(reply, error=encodable(reply.error or "")), "failed", None
    reply = replace(reply, text=encodable(reply.text))
    if reply.finish_reason not in ("stop", "length"):
        return replace(reply, error_class="Unfinished", error=f"it ended with {reply.finish_reason!r}"), "failed", None
    text = parse_reply(stage, reply.text or "")
    if text is None:
        return replace(reply, error_class="NoParse", error=f"no text under rule {PARSERS[stage]}"), "failed", None
    return reply, "truncated" if reply.finish_reason == "length" else "done", text


def _stopped(
    title: str, failed: Sequence[StoredReply], missing: int, total: int, max_failed_share: float
) -> StoppedError:
    classes = ", ".join(f"{n} {name}" for name, n in Counter(reply.error_class for reply in failed).most_common(3))
    if len(failed) / total > max_failed_share:
        finding = f"{len(failed)} of {total} rows failed ({classes}), more than max_failed_share = {max_failed_share}"
    else:
        finding = f"nothing but failures ({classes}), so {missing} of {total} rows were not asked"
    return StoppedError(
        f"{title}: {finding}. First error: {failed[0].error}\n"
        "Everything generated is stored; the same command tries the failed rows again."
    )
