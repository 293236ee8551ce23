"""GGUF weights through llama.cpp in this process (package `xllamacpp`): token ids in, one slot a request."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cached_property
from pathlib import Path
from typing import Any

from cgd.chat import encode_chat, load_tokenizer
from cgd.config import PositiveInt, Section
from cgd.extras import require_packages
from cgd.local import check_lengths, stream
from cgd.models import gguf_file, weights_hash
from cgd.records import Reply, Request


class Options(Section):
    """Keys of `backend = "llamacpp"`."""

    model: str
    """Built-in name, or a `.gguf` file with the model's tokenizer files beside it; taken from the section's `model`."""
    slots: PositiveInt = 8
    """Requests generated together. Changes speed and memory; texts only by floating-point rounding."""
    context: PositiveInt = 2048
    """Most tokens of one prompt with its reply."""


def build(options: Options) -> LlamaCpp:
    """The backend; weights are loaded on the first request."""
    return LlamaCpp(options)


class LlamaCpp:
    """One GGUF model on the devices llama.cpp finds."""

    def __init__(self, options: Options) -> None:
        """Remember the options; touch no weights."""
        self._options = options
        self._server: Any = None
        self._stopped = threading.Event()

    @cached_property
    def _file(self) -> Path:
        return gguf_file(self._options.model)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._file.parent)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Weights and tokenizer, not the path they lie at."""
        return {"backend": "llamacpp", "weights": weights_hash(self._file.parent, [self._file])}

    def check(self, requests: Sequence[Request]) -> None:
        """Raise UserError where a prompt and its reply don't fit into a slot's context, or a package is missing."""
        require_packages("llamacpp", "backend 'llamacpp'", "xllamacpp", "transformers")
        check_lengths(requests, lambda request: len(self._encode(request)), self._options.context)

    def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
        """Yield replies as slots finish."""
        self._stopped.clear()
        return stream(lambda: self._replies(requests), self._stopped)

    def stop(self) -> None:
        """Give no further request to a slot."""
        self._stopped.set()

    def close(self) -> None:
        """Drop the weights."""
        self._server = None

    def _replies(self, requests: Sequence[Request]) -> Iterator[Reply]:
        server = self._loaded_server()

        def work(request: Request) -> Reply | None:
            return None if self._stopped.is_set() else self._reply(server, request)

        with ThreadPoolExecutor(self._options.slots) as pool:
            for finished in as_completed([pool.submit(work, request) for request in requests]):
                reply = finished.result()
                if reply is not None:
                    yield reply

    def _reply(self, server: Any, request: Request) -> Reply:
        started = time.perf_counter()
        sampling = request.sampling
        answer = server.handle_completions(
            {
                "prompt": self._encode(request),
                "n_predict": sampling.max_tokens,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": 0,
                "min_p": 0.0,
                "seed": request.seed,
                "cache_prompt": False,  # a cached prefix changes rounding, and with it texts
            }
        )
        if "choices" not in answer:
            return Reply(request.key, error_class="LlamaCpp", error=str(answer)[:500])
        choice, usage = answer["choices"][0], answer["usage"]
        return Reply(
            request.key,
            text=choice["text"],
            finish_reason="length" if choice["finish_reason"] == "length" else "stop",
            prompt_tokens=usage["prompt_tokens"],
            completion_tokens=usage["completion_tokens"],
            latency_s=time.perf_counter() - started,
        )

    def _encode(self, request: Request) -> list[int]:
        return encode_chat(self._tokenizer, request.messages)

    def _loaded_server(self) -> Any:
        if self._server is None:
            import xllamacpp

            params = xllamacpp.CommonParams()
            params.model.path = str(self._file)
            params.n_parallel = self._options.slots
            params.n_ctx = self._options.slots * self._options.context
            params.verbosity = 0
            params.warmup = False
            self._server = xllamacpp.Server(params)
        return self._server
