"""A server that takes a fixed time for a reply, whose text is a function of the request alone.

python -m benchmarks.stub_server DELAY_S SLOTS [LOG]: LOG gets a line for every request that arrives, written before
it is answered. `GET /v1/span` says how many were answered, and the seconds from the first arrival to the last answer.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from aiohttp import web

from benchmarks.asking import asked_for
from benchmarks.servers import completion, serve


class Stub:
    """Answers after a while, so many requests at a time."""

    def __init__(self, delay_s: float, slots: int, log: Path | None) -> None:
        """Open the log."""
        self._delay_s, self._slots = delay_s, asyncio.Semaphore(slots)
        self._log = log.open("a", buffering=1) if log else None
        self._answered, self._first, self._last = 0, 0.0, 0.0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One reply."""
        body = await request.json()
        name = asked_for(body["messages"], body.get("seed", 0))
        if self._log:
            self._log.write(f"{name}\n")
        self._first = self._first or time.monotonic()
        async with self._slots:
            await asyncio.sleep(self._delay_s)
        self._answered, self._last = self._answered + 1, time.monotonic()
        return web.json_response(completion(f"The number of this request is {name}.\nAnswer: {len(name)}", "stub"))

    async def span(self, request: web.Request) -> web.StreamResponse:
        """What was answered so far, and in how many seconds."""
        return web.json_response({"answered": self._answered, "seconds": self._last - self._first})


if __name__ == "__main__":
    stub = Stub(float(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3:] else None)
    serve([web.post("/v1/chat/completions", stub.answer), web.get("/v1/span", stub.span)])
