"""Any server with an OpenAI-compatible `/chat/completions`: vLLM, llama.cpp, a hosted API."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any

import aiohttp
from pydantic import Field

from cgd.config import PositiveInt, Section
from cgd.errors import UserError
from cgd.records import Message, Reply, Request
from cgd.text import break_special_tokens

_REFUSED = {401, 403, 404}  # no request to this server can succeed
_TRANSIENT = {408, 409, 429, 500, 502, 503, 504}
_LONGEST_PAUSE_S = 60.0


class Options(Section):
    """Keys of `backend = "openai_api"`."""

    model: str
    """The name the server knows the model by; taken from the section's `model`."""
    base_url: Annotated[str, Field(pattern=r"^https?://[^@]+$")]
    """Up to and with the version, for example `http://localhost:8000/v1`; no user or password in it."""
    revision: str | None = None
    """Tells apart servers that serve different weights under one name; goes into every reply's key."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; no key is sent where absent."""
    concurrency: PositiveInt = 8
    """Requests in flight."""
    timeout_s: float = Field(600.0, gt=0)
    """Longest wait for one reply, in seconds."""
    tries: PositiveInt = 5
    """Times a request is sent before its row counts as failed; only what can succeed is sent again."""


def build(options: Options) -> OpenAIBackend:
    """The backend; connections are opened when it generates."""
    return OpenAIBackend(options)


class _Refused(Exception):
    """The server refuses whatever this backend sends."""


class OpenAIBackend:
    """Sends messages (never rendered strings: the server applies its own template)."""

    def __init__(self, options: Options) -> None:
        """Remember the options."""
        self._options = options

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model and revision; where it is served does not matter."""
        return {"backend": "openai_api", "model": self._options.model, "revision": self._options.revision}

    def check(self, requests: Sequence[Request]) -> None:
        """Raise UserError where the key is missing; what else a server can't serve only it can tell."""
        self._headers()

    async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
        """Yield replies as they arrive.

        Raises:
            UserError: the server refuses the model or the key; replies that had arrived are yielded first.
        """
        headers, slots = self._headers(), asyncio.Semaphore(self._options.concurrency)
        timeout = aiohttp.ClientTimeout(total=self._options.timeout_s)
        # The library's own limit is 100 connections.
        connector = aiohttp.TCPConnector(limit=self._options.concurrency)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
            tasks = [asyncio.create_task(self._reply(session, slots, request)) for request in requests]
            try:
                for finished in asyncio.as_completed(tasks):
                    yield await finished
            except _Refused as error:
                raise UserError(str(error)) from error
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """Connections end with each `generate`."""

    def _headers(self) -> dict[str, str]:
        name = self._options.api_key_env
        if name and not self._key():
            raise UserError(f"environment variable {name} (options.api_key_env) is not set: it must hold the API key")
        return {"Authorization": f"Bearer {self._key()}"} if name else {}

    def _key(self) -> str:
        return os.environ.get(self._options.api_key_env or "", "")

    def _without_key(self, text: str) -> str:
        """Servers repeat a refused key in their errors; what is stored or shown must not."""
        return text.replace(self._key(), "***") if self._key() else text

    async def _reply(self, session: aiohttp.ClientSession, slots: asyncio.Semaphore, request: Request) -> Reply:
        """One reply, tried again with growing, jittered pauses while the failure is transient."""
        async with slots:
            for attempt in range(1, self._options.tries + 1):
                reply, pause = await self._send(session, request, attempt)
                if pause is None or attempt == self._options.tries:
                    return reply
                await asyncio.sleep(min(pause, _LONGEST_PAUSE_S))
        raise AssertionError("unreachable: tries is at least 1")

    async def _send(self, session: aiohttp.ClientSession, request: Request, attempt: int) -> tuple[Reply, float | None]:
        """A reply, and the pause in seconds before another try makes sense (None: it makes none)."""
        started = time.perf_counter()
        backoff = 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311
        url = f"{self._options.base_url.rstrip('/')}/chat/completions"
        try:
            async with session.post(url, json=self._body(request)) as response:
                if response.status != 200:
                    body = await response.text(errors="replace")
                    return self._failure(request, response.status, body, response.headers, backoff)
                return _parse(request, await response.json(), time.perf_counter() - started), None
        except (aiohttp.ClientError, TimeoutError) as error:
            return self._failed(request, type(error).__name__, f"{url}: {str(error) or 'timed out'}"), backoff
        except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            return self._failed(request, "BadReply", f"{url}: {type(error).__name__}: {error}"), None

    def _failure(
        self, request: Request, status: int, body: str, headers: Mapping[str, str], backoff: float
    ) -> tuple[Reply, float | None]:
        message = f"{self._options.base_url} answered {status}: {self._without_key(body)[:500]}"
        if status in _REFUSED:
            raise _Refused(f"{message}\nCheck base_url, model and api_key_env of this backend")
        asked = headers.get("Retry-After", "")
        pause = float(asked) if asked.isdecimal() else backoff
        return self._failed(request, f"Http{status}", message), pause if status in _TRANSIENT else None

    def _failed(self, request: Request, error_class: str, message: str) -> Reply:
        return Reply(request.key, error_class=error_class, error=self._without_key(message))

    def _body(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        return {
            "model": self._options.model,
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
