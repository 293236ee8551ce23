"""What generation, training and scoring all ask of a causal language model of transformers.

Shapes: N positions, W width of the hidden states, V words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def best_device() -> str:
    """The accelerator of this machine, or its processor."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def head_of(model: Any) -> Callable[[Any, Any], Any]:
    """What a model makes of hidden states, its own scaling and capping of logits included.

    The model's forward pass is run with its body passed over, so that logits are made of a few positions alone.

    Args:
        model: a causal language model.

    Returns:
        A function of the body's outputs and of hidden states (N, W), which returns logits (N, V).
    """
    backbone, forward = model.base_model, model.forward

    def logits_NV(outputs: Any, hidden_NW: Any) -> Any:
        backbone.forward = lambda *_, **__: type(outputs)(**{**outputs, "last_hidden_state": hidden_NW[None]})
        try:
            return forward(inputs_embeds=hidden_NW[None], use_cache=False).logits[0]
        finally:
            del backbone.forward

    return logits_NV
