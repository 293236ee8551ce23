"""The requests of one `generate`: waiting, put off for a while, or in flight at some server."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import NamedTuple

from cgd.flow import Window
from cgd.records import Reply, Request

_LONGEST_PAUSE_S = 60.0


class Outcome(NamedTuple):
    """What became of one sending.

    `again`: another try can succeed; `overload`: the server has too much to do; `pause_s`: its Retry-After.
    """

    reply: Reply
    again: bool = False
    overload: bool = False
    pause_s: float | None = None


class Server(NamedTuple):
    """A server's URL, and how much it bears."""

    url: str
    window: Window


class _Sent(NamedTuple):
    server: Server
    request: Request
    attempt: int
    sent_at: float


class Flight:
    """Gives each request to the server with the most room, and sends again what can succeed."""

    def __init__(
        self,
        send: Callable[[Server, Request], Awaitable[Outcome]],
        servers: Sequence[Server],
        requests: Sequence[Request],
        tries: int,
    ) -> None:
        """Prepare; nothing is sent before `replies` is iterated.

        Args:
            send: asks a server once.
            servers: all that share the work.
            requests: what to send.
            tries: times a request is sent before its row counts as failed.
        """
        self._send, self._servers, self._tries = send, servers, tries
        self._waiting = deque((request, 1) for request in requests)
        self._put_off: list[tuple[float, int, Request, int]] = []
        self._order = itertools.count()  # breaks ties in the heap: requests can't be compared
        self._sent: dict[asyncio.Future[Outcome], _Sent] = {}
        self._landed: asyncio.Queue[asyncio.Future[Outcome]] = asyncio.Queue()

    async def replies(self) -> AsyncIterator[Reply]:
        """Yield each request's reply as it is settled; what `send` raises ends it."""
        while self._waiting or self._put_off or self._sent:
            self._send_what_fits()
            task = await self._next_landing()
            if task is None:
                continue
            sent = self._sent.pop(task)
            sent.server.window.in_flight -= 1
            reply = self._settle(sent, task.result())
            if reply is not None:
                yield reply

    def stop(self) -> None:
        """Send nothing any more; what is in flight is still yielded."""
        self._waiting.clear()
        self._put_off.clear()
        self._tries = 1

    async def cancel(self) -> None:
        """Drop what is in flight."""
        for task in self._sent:
            task.cancel()
        await asyncio.gather(*self._sent, return_exceptions=True)

    def _send_what_fits(self) -> None:
        now = time.monotonic()
        while self._put_off and self._put_off[0][0] <= now:
            _, _, request, attempt = heapq.heappop(self._put_off)
            self._waiting.append((request, attempt))
        while self._waiting:
            free = [server for server in self._servers if server.window.has_room()]
            if not free:
                return
            # The emptiest window, so that several servers fill evenly.
            server = min(free, key=lambda server: server.window.in_flight / server.window.size)
            request, attempt = self._waiting.popleft()
            task = asyncio.ensure_future(self._send(server, request))
            task.add_done_callback(self._landed.put_nowait)
            server.window.in_flight += 1
            self._sent[task] = _Sent(server, request, attempt, now)

    async def _next_landing(self) -> asyncio.Future[Outcome] | None:
        """The next finished request; None where something may be sent before one finishes."""
        pauses = [server.window.pause_left() for server in self._servers] if self._waiting else []
        pauses = [pause for pause in pauses if pause]
        if self._put_off:
            pauses.append(max(0.0, self._put_off[0][0] - time.monotonic()))
        if not pauses:
            return await self._landed.get()
        try:
            return await asyncio.wait_for(self._landed.get(), min(pauses) + 0.001)
        except TimeoutError:
            return None

    def _settle(self, sent: _Sent, outcome: Outcome) -> Reply | None:
        """Tell the server's window, and give the reply unless the request is to be tried again."""
        window, reply = sent.server.window, outcome.reply
        if reply.text is not None:
            window.succeeded(reply.latency_s, reply.completion_tokens)
            return reply
        if outcome.overload:
            window.overloaded(sent.sent_at, outcome.pause_s)
        if not outcome.again or sent.attempt >= self._tries:
            return reply
        if outcome.overload:  # the server pauses, not the request: another one may have room
            self._waiting.appendleft((sent.request, sent.attempt + 1))
        else:
            pause = min(2 ** (sent.attempt - 1), _LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)  # noqa: S311
            entry = (time.monotonic() + pause, next(self._order), sent.request, sent.attempt + 1)
            heapq.heappush(self._put_off, entry)
        return None
