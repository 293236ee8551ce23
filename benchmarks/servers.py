"""Servers in processes of their own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextmanager
def server(module: str, *arguments: str) -> Iterator[str]:
    """The base URL of `python -m module`, which prints it; the process ends with the block."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address, f"{module} did not start"
            yield address
        finally:
            process.kill()


def serve(routes: list[web.RouteDef]) -> None:
    """Serve on a free port, print the base URL, and go on until killed."""
    asyncio.run(_serve(routes))


async def _serve(routes: list[web.RouteDef]) -> None:
    app = web.Application(client_max_size=2**24)
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await asyncio.Event().wait()


def completion(text: str, model: str) -> dict[str, object]:
    """A complete reply of `/chat/completions`."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 20, "completion_tokens": 20, "total_tokens": 40}
    head = {"id": "chatcmpl-0", "object": "chat.completion", "created": 0, "model": model}
    return {**head, "choices": [choice], "usage": usage}
