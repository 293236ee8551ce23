"""A backend for tests of `ray_pool`, named there by its dotted name: it echoes prompts, and dies of some."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from cgd.config import Section
from cgd.errors import UserError
from cgd.records import Reply, Request

POISON = "poison"  # the process ends
COMPLAINT = "complaint"  # UserError


class Options(Section):
    home: int
    """Process in which nothing dies: the test's."""
    pause_s: float = 0.0
    deaths: str | None = None
    """File with a letter for each death."""
    starts: bool = True
    """Whether it survives being built away from home."""


def build(options: Options) -> Fragile:
    if not options.starts and os.getpid() != options.home:
        os.kill(os.getpid(), signal.SIGKILL)
    return Fragile(options)


class Fragile:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._stopped = False

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"backend": "fragile"}

    def check(self, requests: Sequence[Request]) -> None:
        if not requests:
            raise UserError("fragile: no requests")

    async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
        self._stopped = False
        for request in requests:
            if self._stopped:
                return
            await asyncio.sleep(self._options.pause_s)
            text = request.messages[-1]["content"]
            if text == COMPLAINT:
                raise UserError("fragile: it complains")
            if text == POISON and os.getpid() != self._options.home:
                self._die()
            yield Reply(request.key, text=f"echo of {text}", finish_reason="stop", completion_tokens=3)

    def stop(self) -> None:
        self._stopped = True

    def close(self) -> None: ...

    def _die(self) -> None:
        if self._options.deaths:
            with open(self._options.deaths, "a") as file:
                file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
