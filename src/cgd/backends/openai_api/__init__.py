"""Any server with an OpenAI-compatible `/chat/completions`: vLLM, llama.cpp, a hosted API."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any

import aiohttp
from pydantic import BeforeValidator, Field

from cgd.backends.openai_api.flight import Flight, Outcome, Server
from cgd.config import PositiveInt, Section
from cgd.errors import UserError
from cgd.flow import Window
from cgd.records import Message, Reply, Request
from cgd.text import break_special_tokens, encodable

_WRONG_KEY = 401
_REFUSED = {401, 403, 404}  # until a server has answered once, it means all requests
_OVERLOADED = {429, 503}
_TRANSIENT = {408, 409, 429, 500, 502, 503, 504}
_LARGEST_REPLY = 32 * 2**20  # bytes; a server that sends more is not sending a chat completion


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Url = Annotated[str, Field(pattern=r"^https?://[^@?#\s]+$")]


class Options(Section):
    """Keys of `backend = "openai_api"`."""

    model: str
    """The name the server knows the model by; taken from the section's `model`."""
    base_url: Annotated[tuple[Url, ...], BeforeValidator(_as_list)]
    """Up to and with the version, for example `http://localhost:8000/v1`, or a list of servers that share the work; no
    user, password or query in it."""
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


class _BadReply(Exception):
    """A reply that is no chat completion; the tokens it was paid with may be known."""


class OpenAIBackend:
    """Sends messages (never rendered strings: the server applies its own template)."""

    def __init__(self, options: Options) -> None:
        """Remember the options."""
        self._options = options
        self._flight: Flight | None = None

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model and revision; where it is served does not matter."""
        return {"backend": "openai_api", "model": self._options.model, "revision": self._options.revision}

    def check(self, requests: Sequence[Request]) -> None:
        """Raise UserError where the key is missing; what else a server can't serve only it can tell."""
        self._headers()

    async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
        """Yield replies as they arrive; each request goes to the server that has room first.

        Raises:
            UserError: a server refuses the model or the key; replies that had arrived are yielded first.
        """
        timeout = aiohttp.ClientTimeout(total=self._options.timeout_s)
        # Connections are limited by each server's window; the library's own limit is 100.
        connector = aiohttp.TCPConnector(limit=0)
        servers = [Server(url, Window(self._options.concurrency)) for url in self._options.urls]
        async with aiohttp.ClientSession(headers=self._headers(), timeout=timeout, connector=connector) as session:

            async def send(server: Server, request: Request) -> Outcome:
                return await self._send(session, server, request)

            flight = self._flight = Flight(send, servers, requests, self._options.tries)
            try:
                async for reply in flight.replies():
                    yield reply
            except _Refused as error:
                raise UserError(str(error)) from error
            finally:
                self._flight = None
                await flight.cancel()

    def stop(self) -> None:
        """Send nothing new; replies in flight are waited for."""
        if self._flight:
            self._flight.stop()

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

    async def _send(self, session: aiohttp.ClientSession, server: Server, request: Request) -> Outcome:
        """Ask a server once."""
        started = time.perf_counter()
        body, broken = self._body(request)
        try:
            async with session.post(f"{server.url}/chat/completions", json=body) as response:
                content = await _read(response)
                if response.status != 200:
                    return self._refusal(request, server, response.status, content, response.headers)
        except (aiohttp.ClientError, TimeoutError) as error:
            failed = self._failed(request, type(error).__name__, f"{server.url}: {str(error) or 'timed out'}")
            return Outcome(failed, again=True, overload=isinstance(error, TimeoutError))
        except _BadReply as error:
            return Outcome(self._failed(request, "BadReply", f"{server.url}: {error}"))
        seconds = time.perf_counter() - started
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError) as error:  # damaged on its way, perhaps
            return Outcome(self._failed(request, "BadReply", f"{server.url}: no JSON: {error}"), again=True)
        try:
            return Outcome(_parse(request, answer, seconds, server.url, broken))
        except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            return Outcome(self._failed(request, "BadReply", f"{server.url}: {type(error).__name__}: {error}"))

    def _refusal(
        self, request: Request, server: Server, status: int, content: bytes, headers: Mapping[str, str]
    ) -> Outcome:
        message = f"{server.url} answered {status}: {self._without_key(content.decode(errors='replace'))[:500]}"
        if status == _WRONG_KEY or (status in _REFUSED and not server.window.done):
            raise _Refused(f"{message}\nCheck base_url, model and api_key_env of this backend")
        asked = headers.get("Retry-After", "")
        return Outcome(
            self._failed(request, f"Http{status}", message),
            again=status in _TRANSIENT,
            overload=status in _OVERLOADED,
            pause_s=float(asked) if asked.isdecimal() else None,
        )

    def _failed(self, request: Request, error_class: str, message: str) -> Reply:
        return Reply(request.key, error_class=error_class, error=self._without_key(message)[:1000])

    def _body(self, request: Request) -> tuple[dict[str, Any], int]:
        """What is sent, and how many special-token strings were broken in it."""
        sampling = request.sampling
        messages, broken = _harmless(request.messages)
        body = {
            "model": self._options.model,
            "messages": messages,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": request.seed,
        }
        return body, broken


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, up to a size that no reply has.

    Raises:
        _BadReply: it is larger.
    """
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > _LARGEST_REPLY:
            raise _BadReply(f"a body of more than {_LARGEST_REPLY:,} bytes")
    return bytes(content)


def _harmless(messages: Sequence[Message]) -> tuple[list[Message], int]:
    """Drafts and critiques are untrusted: the server's tokenizer must find no control token in them."""
    safe = [break_special_tokens(message["content"]) for message in messages]
    sent: list[Message] = [
        {"role": message["role"], "content": text} for message, (text, _) in zip(messages, safe, strict=True)
    ]
    return sent, sum(broken for _, broken in safe)


def _parse(request: Request, answer: Mapping[str, Any], seconds: float, url: str, broken: int) -> Reply:
    choice, usage = answer["choices"][0], answer.get("usage") or {}
    text = choice["message"]["content"]
    finish_reason = choice.get("finish_reason") or "stop"
    if text is None and finish_reason not in ("stop", "length"):  # a filter kept the text back
        text = ""
    if not isinstance(text, str):
        raise ValueError(f"the message has no text content but {text!r:.80}")
    return Reply(
        request.key,
        text=text,
        finish_reason=encodable(str(finish_reason)[:80]),
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
        latency_s=seconds,
        server=url,
        broken=broken,
    )


def _count(usage: Mapping[str, Any], name: str) -> int:
    """A number of tokens, which the budget and the store rely on."""
    count = int(usage.get(name) or 0)
    if not 0 <= count < 2**31:
        raise ValueError(f"usage.{name} can't be {str(count):.20}")
    return count
