"""Floating-point operations that training needs; padding and recomputation count nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cgd.training.completion_only import EncodedRow


class Shape(NamedTuple):
    """Sizes of a decoder: parameters without embedding and head, layers, heads times head size, width, words."""

    body: int
    layers: int
    attention: int
    width: int
    vocabulary: int


@cache
def model_shape(folder: Path) -> Shape:
    """The shape of the model in a folder, from its configuration; no weights are read."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config: Any = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    ends = {id(p) for part in (model.get_input_embeddings(), model.get_output_embeddings()) for p in part.parameters()}
    body = sum(p.numel() for p in model.parameters() if id(p) not in ends)
    text = config.get_text_config()
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return Shape(body, text.num_hidden_layers, text.num_attention_heads * head, text.hidden_size, text.vocab_size)


def training_flops(folder: Path, rows: Sequence[EncodedRow]) -> float:
    """Forward and backward pass over the rows.

    6 a body parameter and token (2 forward, 4 backward), 6·d·V a labelled token for the head, and causal attention:
    2 products of T·(T + 1)/2 pairs and `attention` multiply-adds in each layer, times 3 for the backward pass.
    """
    shape = model_shape(folder)
    body = 6.0 * shape.body * sum(len(row.input_ids) for row in rows)
    head = 6.0 * shape.width * shape.vocabulary * sum(row.target_tokens for row in rows)
    pairs = sum(len(row.input_ids) * (len(row.input_ids) + 1) / 2 for row in rows)
    return body + head + 12.0 * shape.layers * shape.attention * pairs
