"""Any server with an OpenAI-compatible `/chat/completions`: vLLM, llama.cpp, a hosted API."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import aiohttp
from pydantic import BeforeValidator, Field

from cgd.config import PositiveInt, Section
from cgd.errors import UserError
from cgd.flow import Window
from cgd.records import Message, Reply, Request
from cgd.text import break_special_tokens

_REFUSED = {401, 403, 404}  # no request to this server can succeed
_OVERLOADED = {429, 503}
_TRANSIENT = {408, 409, 429, 500, 502, 503, 504}
_LONGEST_PAUSE_S = 60.0


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Url = Annotated[str, Field(pattern=r"^https?://[^@]+$")]


class Options(Section):
    """Keys of `backend = "openai_api"`."""

    model: str
    """The name the server knows the model by; taken from the section's `model`."""
    base_url: Annotated[tuple[Url, ...], BeforeValidator(_as_list)]
    """Up to and with the version, for example `http://localhost:8000/v1`, or a list of servers that share the work; no
    user or password in it."""
    revision: str | None = None
    """Tells apart servers that serve different weights under one name; goes into every reply's key."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; no key is sent where absent."""
    concurrency: PositiveInt = 256
    """Most requests in flight at one server; how many it bears below that is found while it works."""
    timeout_s: float = Field(600.0, gt=0)
    """Longest wait for one reply, in seconds."""
    tries: PositiveInt = 5
    """Times a request is sent before its row counts as failed; only what can succeed is sent again."""

    @property
    def urls(self) -> list[str]:
        """The servers, without a slash at the end."""
        return [url.rstrip("/") for url in self.base_url]


def build(options: Options) -> OpenAIBackend:
    """The backend; connections are opened when it generates."""
    return OpenAIBackend(options)


class _Refused(Exception):
    """The server refuses whatever this backend sends."""


class Outcome(NamedTuple):
    """What became of one sending.

    `again`: another try can succeed; `overload`: the server has too much to do; `pause_s`: its Retry-After.
    """

    reply: Reply
    again: bool = False
    overload: bool = False
    pause_s: float | None = None


class _Server(NamedTuple):
    url: str
    window: Window


class _Sent(NamedTuple):
    server: _Server
    request: Request
    attempt: int
    sent_at: float


class _Flight:
    """The requests of one `generate`: waiting, put off for a while, or in flight at some server."""

    def __init__(self, backend: OpenAIBackend, session: aiohttp.ClientSession, requests: Sequence[Request]) -> None:
        self._backend, self._session = backend, session
        self._servers = [_Server(url, Window(backend.options.concurrency)) for url in backend.options.urls]
        self._waiting = deque((request, 1) for request in requests)
        self._put_off: list[tuple[float, int, Request, int]] = []
        self._order = itertools.count()  # breaks ties in the heap: requests can't be compared
        self._sent: dict[asyncio.Task[Outcome], _Sent] = {}
        self._landed: asyncio.Queue[asyncio.Task[Outcome]] = asyncio.Queue()

    async def replies(self) -> AsyncIterator[Reply]:
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

    async def cancel(self) -> None:
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
            task = asyncio.create_task(self._backend.send(self._session, server.url, request))
            task.add_done_callback(self._landed.put_nowait)
            server.window.in_flight += 1
            self._sent[task] = _Sent(server, request, attempt, now)

    async def _next_landing(self) -> asyncio.Task[Outcome] | None:
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
        if not outcome.again or sent.attempt >= self._backend.options.tries:
            return reply
        if outcome.overload:  # the server pauses, not the request: another one may have room
            self._waiting.appendleft((sent.request, sent.attempt + 1))
        else:
            pause = min(2 ** (sent.attempt - 1), _LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)  # noqa: S311
            entry = (time.monotonic() + pause, next(self._order), sent.request, sent.attempt + 1)
            heapq.heappush(self._put_off, entry)
        return None


class OpenAIBackend:
    """Sends messages (never rendered strings: the server applies its own template)."""

    def __init__(self, options: Options) -> None:
        """Remember the options."""
        self.options = options

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model and revision; where it is served does not matter."""
        return {"backend": "openai_api", "model": self.options.model, "revision": self.options.revision}

    def check(self, requests: Sequence[Request]) -> None:
        """Raise UserError where the key is missing; what else a server can't serve only it can tell."""
        self._headers()

    async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
        """Yield replies as they arrive; each request goes to the server that has room first.

        Raises:
            UserError: a server refuses the model or the key; replies that had arrived are yielded first.
        """
        timeout = aiohttp.ClientTimeout(total=self.options.timeout_s)
        # Connections are limited by each server's window; the library's own limit is 100.
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=self._headers(), timeout=timeout, connector=connector) as session:
            flight = _Flight(self, session, requests)
            try:
                async for reply in flight.replies():
                    yield reply
            except _Refused as error:
                raise UserError(str(error)) from error
            finally:
                await flight.cancel()

    def close(self) -> None:
        """Connections end with each `generate`."""

    def _headers(self) -> dict[str, str]:
        name = self.options.api_key_env
        if name and not self._key():
            raise UserError(f"environment variable {name} (options.api_key_env) is not set: it must hold the API key")
        return {"Authorization": f"Bearer {self._key()}"} if name else {}

    def _key(self) -> str:
        return os.environ.get(self.options.api_key_env or "", "")

    def _without_key(self, text: str) -> str:
        """Servers repeat a refused key in their errors; what is stored or shown must not."""
        return text.replace(self._key(), "***") if self._key() else text

    async def send(self, session: aiohttp.ClientSession, url: str, request: Request) -> Outcome:
        """Ask a server once."""
        started = time.perf_counter()
        try:
            async with session.post(f"{url}/chat/completions", json=self._body(request)) as response:
                if response.status != 200:
                    body = await response.text(errors="replace")
                    return self._refusal(request, url, response.status, body, response.headers)
                return Outcome(_parse(request, await response.json(), time.perf_counter() - started))
        except (aiohttp.ClientError, TimeoutError) as error:
            failed = self._failed(request, type(error).__name__, f"{url}: {str(error) or 'timed out'}")
            return Outcome(failed, again=True, overload=isinstance(error, TimeoutError))
        except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            return Outcome(self._failed(request, "BadReply", f"{url}: {type(error).__name__}: {error}"))

    def _refusal(self, request: Request, url: str, status: int, body: str, headers: Mapping[str, str]) -> Outcome:
        message = f"{url} answered {status}: {self._without_key(body)[:500]}"
        if status in _REFUSED:
            raise _Refused(f"{message}\nCheck base_url, model and api_key_env of this backend")
        asked = headers.get("Retry-After", "")
        return Outcome(
            self._failed(request, f"Http{status}", message),
            again=status in _TRANSIENT,
            overload=status in _OVERLOADED,
            pause_s=float(asked) if asked.isdecimal() else None,
        )

    def _failed(self, request: Request, error_class: str, message: str) -> Reply:
        return Reply(request.key, error_class=error_class, error=self._without_key(message))

    def _body(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        return {
            "model": self.options.model,
            "messages": [_harmless(message) for message in request.messages],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": request.seed,
        }


def _harmless(message: Message) -> Message:
    """Drafts and critiques are untrusted: the server's tokenizer must find no control token in them."""
    return {"role": message["role"], "content": break_special_tokens(message["content"])[0]}


def _parse(request: Request, body: Mapping[str, Any], seconds: float) -> Reply:
    choice, usage = body["choices"][0], body.get("usage") or {}
    text = choice["message"]["content"]
    if not isinstance(text, str):
        raise ValueError(f"the message has no text content but {text!r}")
    return Reply(
        request.key,
        text=text,
        finish_reason="length" if choice.get("finish_reason") == "length" else "stop",
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
        latency_s=seconds,
    )
