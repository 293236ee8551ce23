"""Log-probability and entropy of target tokens under a model, exact over the full vocabulary.

Contexts of one record begin alike, so its sequences go through the model as one tree; the head runs on the positions
before target tokens alone, a chunk of them at a time. What comes after the head is computed in float32.

Shapes: T nodes of the trees of a pass, N positions whose next token is scored, W width, V words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cgd.models import quiet_libraries
from cgd.networks import best_device, head_of
from cgd.scoring.tree import Tree, merge, packs

# About 512 tokens fill a CPU's matrix products, and their mask stays cheap; a GPU wants more.
CPU_TOKENS, GPU_TOKENS = 512, 4096
_LOGITS_AT_ONCE = 2**21  # numbers: 8 MiB in float32, whatever the vocabulary and the lengths; three such are held


class Scored(NamedTuple):
    """What is scored: a target in its context, as token ids, the target's end of turn included."""

    context_ids: list[int]
    target_ids: list[int]


class Scores(NamedTuple):
    """Of each target token: how likely it was, and how open the choice was."""

    log_p: list[float]
    """Natural logarithm of the probability given all tokens before it."""
    entropy: list[float]
    """Of the distribution over the whole vocabulary at its place, −Σ p log p, in nats."""


class Scorer:
    """A model that scores; its weights are loaded once."""

    def __init__(self, folder: Path, dtype: Literal["float32", "bfloat16", "float16"] = "float32") -> None:
        """Load the weights.

        Args:
            folder: of the model.
            dtype: arithmetic of the model.
        """
        import torch
        from transformers import AutoModelForCausalLM

        quiet_libraries()
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), use_safetensors=True, attn_implementation="sdpa"
        )
        self._model = model.to(best_device()).eval()
        self._logits = head_of(self._model)
        self._tokens = _tokens_of_a_pass(self._model)

    def score(self, groups: Sequence[Sequence[Scored]]) -> Iterator[list[Scores]]:
        """Score groups of sequences that begin alike (those of one record).

        Args:
            groups: the sequences of each record; every context has at least one token.

        Yields:
            For each group, in order, the scores of each of its sequences.
        """
        flat = list(chain.from_iterable(groups))
        # Without trees each sequence is one by itself: the scores come in the same order.
        scores = self._scores(groups if self._tokens else [[one] for one in flat])
        for group in groups:
            yield [next(scores) for _ in group]

    def _scores(self, groups: Sequence[Sequence[Scored]]) -> Iterator[Scores]:
        import torch

        trees = [merge([[*one.context_ids, *one.target_ids] for one in group]) for group in groups]
        for indices in packs([len(tree.tokens) for tree in trees], self._tokens):
            here, mine = [trees[i] for i in indices], [groups[i] for i in indices]
            places, targets, ends = _targets(here, mine)
            # Several sequences may ask one position for different next tokens: its logits are made once.
            kept, asked = torch.tensor(places).unique(return_inverse=True)
            with torch.inference_mode():
                log_p_N, entropy_N = self._read(*self.hidden(here, kept), asked, torch.tensor(targets))
            for start, end in zip([0, *ends], ends, strict=False):
                yield Scores(log_p_N[start:end], entropy_N[start:end])

    def hidden(self, trees: Sequence[Tree], kept: Any) -> tuple[Any, Any]:
        """The body's outputs for some trees, and its hidden states (N, W) at the nodes to keep."""
        import torch

        device = self._model.device
        outputs = self._model.base_model(
            input_ids=torch.tensor([[token for tree in trees for token in tree.tokens]], device=device),
            position_ids=torch.tensor([[depth for tree in trees for depth in tree.depths]], device=device),
            attention_mask=_sees_ancestors(trees).to(device)[None, None] if self._tokens else None,
            use_cache=False,
        )
        return outputs, outputs.last_hidden_state[0, kept.to(device)]

    def log_p(self, outputs: Any, hidden_NW: Any) -> Iterator[Any]:
        """Log-probabilities of all words (N, V) after hidden states, float32, a chunk of positions at a time."""
        chunk = max(1, _LOGITS_AT_ONCE // self._model.config.get_text_config().vocab_size)
        for start in range(0, len(hidden_NW), chunk):
            yield self._logits(outputs, hidden_NW[start : start + chunk]).float().log_softmax(-1)

    def _read(self, outputs: Any, hidden_NW: Any, asked: Any, targets: Any) -> tuple[list[float], list[float]]:
        """Log-probabilities of the targets and entropies at the positions they are asked of."""
        import torch

        log_p, entropy = torch.empty(len(targets)), torch.empty(len(targets))
        start = 0
        for log_p_NV in self.log_p(outputs, hidden_NW):
            entropies = -log_p_NV.exp().mul_(log_p_NV).sum(-1).cpu()
            here = (asked >= start) & (asked < start + len(log_p_NV))
            rows = asked[here] - start
            log_p[here] = log_p_NV[rows.to(log_p_NV.device), targets[here].to(log_p_NV.device)].cpu()
            entropy[here] = entropies[rows]
            start += len(log_p_NV)
        return log_p.tolist(), entropy.tolist()


def divergences(trained: Scorer, base: Scorer, texts: Sequence[Scored]) -> Iterator[float]:
    """How far a trained model has moved on given texts: the mean over target tokens of KL(trained ‖ base), in nats.

    Args:
        trained: the model after training.
        base: the model before it, with the same vocabulary.
        texts: base's own answers in their contexts, say.

    Yields:
        One mean a text.
    """
    import torch

    for text in texts:
        tree = merge([[*text.context_ids, *text.target_ids]])
        kept = torch.tensor(_targets([tree], [[text]])[0])
        total = 0.0
        with torch.inference_mode():
            both = (model.log_p(*model.hidden([tree], kept)) for model in (trained, base))
            for log_p_NV, log_q_NV in zip(*both, strict=True):
                total += float((log_p_NV.exp() * (log_p_NV - log_q_NV)).sum())
        yield total / len(kept)


def _tokens_of_a_pass(model: Any) -> int:
    """Most tokens of a pass of trees; 0 where the model can't see them.

    That is a model that mixes tokens in another way than attention under a mask, or only inside a window.
    """
    layers = getattr(model.config.get_text_config(), "layer_types", None) or ()
    if model._is_stateful or not model._supports_sdpa or set(layers) - {"full_attention"}:
        return 0
    return CPU_TOKENS if model.device.type == "cpu" else GPU_TOKENS


def _sees_ancestors(trees: Sequence[Tree]) -> Any:
    """Which nodes a node attends to: itself and what comes before it in its own sequences (T, T)."""
    import torch

    sizes = [len(tree.tokens) for tree in trees]
    mask_TT = torch.zeros(sum(sizes), sum(sizes), dtype=torch.bool)
    start = 0
    for tree, size in zip(trees, sizes, strict=True):
        block = mask_TT[start : start + size, start : start + size]
        for path in tree.paths:
            nodes = torch.tensor(path)
            seen = torch.ones(len(path), len(path), dtype=torch.bool).tril()
            block[nodes[:, None], nodes] |= seen
        start += size
    return mask_TT


def _targets(trees: Sequence[Tree], groups: Sequence[Sequence[Scored]]) -> tuple[list[int], list[int], list[int]]:
    """Node before each target token, the token, and where each sequence's targets end in both lists."""
    places: list[int] = []
    targets: list[int] = []
    ends: list[int] = []
    start = 0
    for tree, group in zip(trees, groups, strict=True):
        for path, one in zip(tree.paths, group, strict=True):
            first = len(one.context_ids) - 1
            places += [start + node for node in path[first:-1]]
            targets += one.target_ids
            ends.append(len(targets))
        start += len(tree.tokens)
    return places, targets, ends
