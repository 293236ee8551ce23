"""Negative log-likelihood of the labelled tokens, without ever holding the logits of a whole micro-batch.

Import this module inside functions: it imports torch.

Shapes: N labelled positions, W width of the hidden states, V words.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from cgd import launch
from cgd.networks import head_of

_LOGITS_AT_ONCE = 2**25  # numbers: 128 MiB in float32


def use_target_loss(model: Any, *, packs: bool) -> None:
    """Make a causal model's forward pass return the loss of a packed micro-batch instead of logits.

    The new forward pass takes what `collate.pack` makes and returns `loss`, the sum of weight × −log p over the
    labelled tokens, and `entropy`, the sum of the distributions' entropies there (nats, full vocabulary).

    Args:
        model: a causal language model of transformers.
        packs: it keeps packed rows apart; else it gets its tokens and nothing else, one row at a time.
    """
    backbone, logits_NV, head = model.base_model, head_of(model), model.get_output_embeddings()
    chunk_size = max(1, _LOGITS_AT_ONCE // model.config.get_text_config().vocab_size)

    def forward(*, kept: Any, targets: Any, weights: Any, **inputs: Any) -> dict[str, Any]:
        wanted = inputs if packs else ("input_ids",)
        inputs = {name: inputs[name] for name in wanted if inputs[name] is not None}  # PEFT fills in all it knows
        outputs = backbone(**inputs, use_cache=False)
        hidden_NW = outputs.last_hidden_state[0, kept]
        if launch.shards_weights():
            return _plain_loss(logits_NV(outputs, hidden_NW), targets, weights)
        parameters = [parameter for parameter in head.parameters() if parameter.requires_grad]
        loss, entropy = _TargetLoss.apply(
            hidden_NW, targets, weights, partial(logits_NV, outputs), chunk_size, *parameters
        )
        return {"loss": loss, "entropy": entropy}

    model.forward = forward


class _TargetLoss(torch.autograd.Function):  # type: ignore[misc]
    """Loss and entropy, chunk by chunk of positions; gradients are made in the forward pass, while logits are there."""

    @staticmethod
    def forward(  # noqa: PLR0913
        ctx: Any,
        hidden_NW: Any,
        targets_N: Any,
        weights_N: Any,
        logits_NV: Callable[[Any], Any],
        chunk_size: int,
        *parameters: Any,
    ) -> tuple[Any, Any]:
        sums = torch.zeros(2, device=hidden_NW.device)
        hidden_grads: list[Any] = []
        parameter_grads: list[Any] = []
        chunks = zip(*(each.split(chunk_size) for each in (hidden_NW, targets_N, weights_N)), strict=True)
        for hidden, targets, weights in chunks:
            with torch.enable_grad(), _uncached_autocast(hidden.device.type):
                hidden = hidden.detach().requires_grad_()
                log_p_NV = logits_NV(hidden).float().log_softmax(-1)
                loss = -(weights * log_p_NV.gather(1, targets[:, None])[:, 0]).sum()
                hidden_grad, *grads = torch.autograd.grad(loss, [hidden, *parameters])
            log_p_NV = log_p_NV.detach()
            sums += torch.stack([loss.detach(), -(log_p_NV.exp() * log_p_NV).sum()])
            hidden_grads.append(hidden_grad)
            parameter_grads = (
                [a.add_(b) for a, b in zip(parameter_grads, grads, strict=True)] if parameter_grads else grads
            )
        ctx.save_for_backward(torch.cat(hidden_grads), *parameter_grads)
        loss, entropy = sums[0].clone(), sums[1].clone()
        ctx.mark_non_differentiable(entropy)
        return loss, entropy

    @staticmethod
    def backward(ctx: Any, grad_loss: Any, _: Any) -> Any:
        hidden, *parameters = (total.mul_(grad_loss) for total in ctx.saved_tensors)
        return hidden, None, None, None, None, *parameters


def _plain_loss(logits_NV: Any, targets_N: Any, weights_N: Any) -> dict[str, Any]:
    """The same sums from all logits at once: hooks of the one backward pass gather and reduce a sharded head."""
    log_p_NV = logits_NV.float().log_softmax(-1)
    loss = -(weights_N * log_p_NV.gather(1, targets_N[:, None])[:, 0]).sum()
    log_p_NV = log_p_NV.detach()
    return {"loss": loss, "entropy": -(log_p_NV.exp() * log_p_NV).sum()}


def _uncached_autocast(device: str) -> Any:
    """The arithmetic that is set, with nothing remembered: a cast of the head would outlive its chunk's graph."""
    return torch.autocast(
        device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device), cache_enabled=False
    )
