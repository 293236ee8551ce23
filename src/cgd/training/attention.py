"""Attention over whole rows laid end to end: each row sees itself alone, and nothing is padded or masked.

Import this module inside functions: it imports torch and transformers.

Shapes: B batch (always 1), H heads, K key-value heads, T tokens of all rows, D head size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.utils import is_flash_attn_2_available

from cgd.config import TrainingConfig
from cgd.errors import UserError

_PACKED = "cgd_packed"
_PACKED_LAYERS = {"full_attention", "sliding_attention"}
_ROPE_OF_THE_WHOLE_BATCH = ("dynamic", "longrope")  # its frequencies hang on the longest row that is in the batch


def set_attention(model: Any, config: TrainingConfig, device: str) -> bool:
    """Give a model the attention that the recipe asks for; whether rows may be laid end to end under it.

    `auto` is flash attention where the device and the model have it, else torch's own fused attention row by row
    inside the packed sequence. A model that mixes tokens in another way (state space, convolution, attention sinks)
    keeps its own attention, and gets one row at a time.

    Raises:
        UserError: flash attention is asked for and can't be had.
    """
    name = config.attention
    if name == "auto":
        flash = device == "cuda" and config.dtype == "bfloat16" and is_flash_attn_2_available()
        name = "flash_attention_2" if flash and model._supports_flash_attn else "sdpa"
    if name == "flash_attention_2":
        try:
            model.set_attn_implementation(name)
        except (ImportError, ValueError) as error:
            raise UserError(
                f'training.attention = "{name}" can\'t be had: {error}; "auto" takes what there is'
            ) from error
    elif name == "eager":
        model.set_attn_implementation("eager")
        return False
    elif _rows_stay_apart(model):
        model.set_attn_implementation(_PACKED)
    return _rows_stay_apart(model)


def _rows_stay_apart(model: Any) -> bool:
    """Attention is the only way from token to token, and it goes through transformers' attention interface."""
    text = model.config.get_text_config()
    layers = set(getattr(text, "layer_types", None) or _PACKED_LAYERS)
    rope = str(getattr(text, "rope_parameters", None))
    return bool(
        model._supports_attention_backend
        and (model._supports_sdpa or getattr(text, "attn_logit_softcapping", None))
        and not model._is_stateful
        and layers <= _PACKED_LAYERS
        and not any(kind in rope for kind in _ROPE_OF_THE_WHOLE_BATCH)
    )


def packed_attention(  # noqa: PLR0913 - transformers' attention interface
    module: Any,
    query_BHTD: Any,
    key_BKTD: Any,
    value_BKTD: Any,
    attention_mask: None,
    *,
    lengths: list[int] | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Any, None]:
    """Causal attention inside each of the rows whose lengths are given, in transformers' calling convention.

    Raises:
        UserError: the model does not hand the lengths down to its attention.
    """
    if lengths is None:
        raise UserError(
            f'{type(module).__name__} can\'t train on several rows at once; set training.attention = "eager"'
        )
    groups = query_BHTD.shape[1] // key_BKTD.shape[1]
    if groups > 1:
        key_BKTD, value_BKTD = (part.repeat_interleave(groups, dim=1) for part in (key_BKTD, value_BKTD))
    rows = zip(*(part.split(lengths, dim=2) for part in (query_BHTD, key_BKTD, value_BKTD)), strict=True)
    outputs = []
    for query, key, value in rows:
        allowed = _window(query, sliding_window)
        if softcap is not None:
            outputs.append(_softcapped(query, key, value, allowed, scaling, softcap))
            continue
        outputs.append(
            scaled_dot_product_attention(
                query, key, value, attn_mask=allowed, dropout_p=dropout, is_causal=allowed is None, scale=scaling
            )
        )
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous(), None


def _window(query: Any, sliding_window: int | None) -> Any:
    """Which positions a token of a row sees, where that is not simply all before it."""
    length = query.shape[2]
    if not sliding_window or length <= sliding_window:
        return None
    distance = torch.arange(length, device=query.device)[:, None] - torch.arange(length, device=query.device)
    return (distance >= 0) & (distance < sliding_window)


def _softcapped(query: Any, key: Any, value: Any, allowed: Any, scaling: float | None, softcap: float) -> Any:
    """Attention whose scores are bounded smoothly before the softmax (Gemma 2); no fused kernel has that."""
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    scores = softcap * torch.tanh(scores / softcap)
    if allowed is None:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    weights = scores.masked_fill(~allowed, float("-inf")).softmax(-1, dtype=torch.float32)
    return weights.to(value.dtype) @ value


AttentionInterface.register(_PACKED, packed_attention)
