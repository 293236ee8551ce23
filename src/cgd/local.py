"""What engines in this process share: replies of a worker thread as a stream, and the check that prompts fit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress

from cgd.errors import UserError
from cgd.records import Reply, Request


async def stream(work: Callable[[], Iterator[Reply]], stopped: threading.Event) -> AsyncIterator[Reply]:
    """Run a blocking iterator of replies in a thread and yield what it makes.

    Args:
        work: makes the iterator; it ends soon once `stopped` is set.
        stopped: set here when the consumer leaves.

    Raises:
        Exception: what `work` raised, after the replies before it.
    """
    queue: asyncio.Queue[Reply | BaseException | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def put(item: Reply | BaseException | None) -> None:
        with suppress(RuntimeError):  # the consumer's loop is closed: nobody waits any more
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def run() -> None:
        end: BaseException | None = None
        try:
            for reply in work():
                put(reply)
        except BaseException as error:  # handed to the consumer, which raises it
            end = error
        put(end)

    threading.Thread(target=run, daemon=True).start()
    try:
        while isinstance(item := await queue.get(), Reply):
            yield item
        if item is not None:
            raise item
    finally:
        stopped.set()


def check_lengths(requests: Sequence[Request], prompt_tokens: Callable[[Request], int], limit: int) -> None:
    """Refuse prompts that, with their longest reply, don't fit into a context of `limit` tokens.

    Raises:
        UserError: how many don't, and the id of the longest.
    """
    lengths = [(prompt_tokens(request) + request.sampling.max_tokens, request) for request in requests]
    too_long = [(length, request.record.prompt.id) for length, request in lengths if length > limit]
    if too_long:
        length, prompt_id = max(too_long)
        raise UserError(
            f"{len(too_long)} of {len(requests)} prompts don't fit into the model's context of {limit} tokens: "
            f"{prompt_id} needs {length} with max_tokens. Leave them out, or lower max_tokens"
        )
