"""Transformers in this process: batches sorted by length, every item sampled from its own seed."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from cgd.chat import encode_chat, end_of_turn, load_tokenizer
from cgd.config import PositiveInt, Section
from cgd.extras import require_packages
from cgd.local import check_lengths, stream
from cgd.models import context_length, model_folder, quiet_libraries, weights_hash
from cgd.networks import best_device
from cgd.records import Reply, Request


class Options(Section):
    """Keys of `backend = "hf"`."""

    model: str
    """Built-in name, local folder or hub id; taken from the section's `model`."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of generation."""
    batch_size: PositiveInt = 32
    """Prompts generated together. Changes speed and memory; texts only by floating-point rounding."""


def build(options: Options) -> HfBackend:
    """The backend; weights are loaded on the first request."""
    return HfBackend(options)


class HfBackend:
    """One model on the best device this machine has."""

    def __init__(self, options: Options) -> None:
        """Remember the options; touch no weights."""
        self._options = options
        self._model: Any = None
        self._stopped = threading.Event()

    @cached_property
    def _folder(self) -> Path:
        return model_folder(self._options.model, self._options.revision)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._folder)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Weights (not the path they lie at) and arithmetic."""
        return {"backend": "hf", "weights": weights_hash(self._folder), "dtype": self._options.dtype}

    def check(self, requests: Sequence[Request]) -> None:
        """Raise UserError where a prompt and its reply don't fit into the model's context, or a package is missing."""
        require_packages("train", "backend 'hf'", "torch", "transformers")
        limit = context_length(self._folder)
        if limit is not None:
            check_lengths(requests, lambda request: len(self._encode(request)), limit)

    def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
        """Yield replies batch by batch; leaving or stopping ends it after its batch."""
        self._stopped.clear()
        return stream(lambda: self._replies(requests), self._stopped)

    def stop(self) -> None:
        """Begin no further batch."""
        self._stopped.set()

    def close(self) -> None:
        """Drop the weights, and give their memory on a GPU back to whoever comes next."""
        if self._model is not None:
            import torch

            self._model = None
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _replies(self, requests: Sequence[Request]) -> Iterator[Reply]:
        encoded = [(self._encode(request), request) for request in requests]
        for sampling in dict.fromkeys(request.sampling for request in requests):
            alike = [pair for pair in encoded if pair[1].sampling == sampling]
            alike.sort(key=lambda pair: -len(pair[0]))
            for start in range(0, len(alike), self._options.batch_size):
                if self._stopped.is_set():
                    return
                yield from self._batch_or_singles(alike[start : start + self._options.batch_size])

    def _batch_or_singles(self, batch: list[tuple[list[int], Request]]) -> Iterator[Reply]:
        """A batch that fails (out of memory, say) is tried again row by row, so that one bad row costs one row."""
        try:
            yield from self._run(batch)
        except (RuntimeError, ValueError, IndexError) as error:
            if len(batch) > 1:
                for pair in batch:
                    yield from self._batch_or_singles([pair])
            else:
                yield Reply(batch[0][1].key, error_class=type(error).__name__, error=str(error))

    def _run(self, batch: list[tuple[list[int], Request]]) -> list[Reply]:
        import torch

        started = time.perf_counter()
        model = self._loaded_model()
        stop_ids = sorted({end_of_turn(self._tokenizer), self._tokenizer.eos_token_id} - {None})
        width = max(len(ids) for ids, _ in batch)
        input_ids_BT = torch.tensor([[stop_ids[0]] * (width - len(ids)) + ids for ids, _ in batch])
        mask_BT = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids, _ in batch])
        sampling = batch[0][1].sampling
        with torch.inference_mode():
            output_BT = model.generate(
                input_ids=input_ids_BT.to(model.device),
                attention_mask=mask_BT.to(model.device),
                max_new_tokens=sampling.max_tokens,
                do_sample=False,
                eos_token_id=stop_ids,
                pad_token_id=stop_ids[0],
                logits_processor=_samplers([request for _, request in batch], model.device),
            )
        seconds = time.perf_counter() - started
        replies = []
        for (ids, request), row in zip(batch, output_BT[:, width:].tolist(), strict=True):
            end = next((i for i, token in enumerate(row) if token in stop_ids), None)
            replies.append(
                Reply(
                    request.key,
                    text=self._tokenizer.decode(row[:end], skip_special_tokens=True),
                    finish_reason="length" if end is None else "stop",
                    prompt_tokens=len(ids),
                    completion_tokens=len(row) if end is None else end + 1,
                    latency_s=seconds,
                )
            )
        return replies

    def _encode(self, request: Request) -> list[int]:
        return encode_chat(self._tokenizer, request.messages)

    def _loaded_model(self) -> Any:
        if self._model is None:
            import torch
            from transformers import AutoModelForCausalLM, GenerationConfig

            quiet_libraries()
            model = AutoModelForCausalLM.from_pretrained(
                self._folder, dtype=getattr(torch, self._options.dtype), use_safetensors=True
            )
            # A checkpoint's own generation settings (a temperature, say) are no part of the recipe.
            model.generation_config = GenerationConfig()
            self._model = model.to(best_device()).eval()
        return self._model


def _samplers(requests: Sequence[Request], device: Any) -> list[Callable[[Any, Any], Any]]:
    """Sampling as greedy decoding of perturbed scores, so that each row has its own random stream.

    argmax(log p + Gumbel noise) is a draw from p (the Gumbel-max trick); row noise comes from the
    row's own generator, so a text depends neither on its batch nor on the order of the rows.
    """
    sampling = requests[0].sampling
    if sampling.temperature == 0:
        return []
    import torch
    from transformers import TopPLogitsWarper

    generators = [torch.Generator(device=device).manual_seed(request.seed) for request in requests]
    nucleus = TopPLogitsWarper(sampling.top_p) if sampling.top_p < 1 else None

    def perturb(input_ids_BT: Any, logits_BV: Any) -> Any:
        scores_BV = logits_BV.float() / sampling.temperature
        if nucleus is not None:
            scores_BV = nucleus(input_ids_BT, scores_BV)
        uniform_BV = torch.stack(
            [torch.rand(scores_BV.shape[1], generator=generator, device=device) for generator in generators]
        )
        return scores_BV - torch.log(-torch.log(uniform_BV.clamp_min(1e-20)))

    return [perturb]
