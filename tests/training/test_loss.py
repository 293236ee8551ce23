"""Run with: pytest tests/training/test_loss.py. Packed rows against rows one by one, on random-weight models."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from cgd.config import TrainingConfig
from cgd.errors import UserError
from cgd.training.collate import pack
from cgd.training.completion_only import IGNORED, EncodedRow

WORDS = 97
SMALL = {
    **{"vocab_size": WORDS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.3},
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"tie_word_embeddings": True}),
    "qwen2": ("qwen2", {}),
    "qwen2 with a window": ("qwen2", {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}),
    "qwen3": ("qwen3", {"head_dim": 16}),
    "mistral with a window": ("mistral", {"sliding_window": 5}),
    "gemma 2": ("gemma2", {"head_dim": 8, "sliding_window": 6, "query_pre_attn_scalar": 8}),
    "gemma 3": ("gemma3_text", {"head_dim": 8, "sliding_window": 6, "query_pre_attn_scalar": 8}),
    "granite": ("granite", {"logits_scaling": 3.0, "embedding_multiplier": 2.0}),
    "cohere": ("cohere", {"logit_scale": 0.5}),
    "phi 3": ("phi3", {}),
    "olmo 2": ("olmo2", {}),
    "smollm 3": ("smollm3", {}),
    "mixture of experts": (
        "qwen3_moe",
        {"head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    ),
}


def tiny(architecture: str) -> Any:
    """A model of random weights in float32, in training mode."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, changes = ARCHITECTURES[architecture]
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SMALL, **changes})).train()


def packed(model: Any, **changes: Any) -> Any:
    """The same model with the packed loss."""
    from cgd.training.attention import set_attention
    from cgd.training.loss import use_target_loss

    assert set_attention(model, TrainingConfig(**changes), "cpu")
    use_target_loss(model, packs=True)
    return model


def row(length: int, targets: int, seed: int, weight: float = 1.0) -> EncodedRow:
    draws = random.Random(seed)
    ids = [draws.randrange(3, WORDS) for _ in range(length)]
    return EncodedRow(ids, [IGNORED] * (length - targets) + ids[length - targets :], weight)


ROWS = [row(9, 3, 1), row(17, 5, 2), row(2, 1, 3), row(12, 12, 4), row(30, 1, 5)]


def losses_one_by_one(model: Any, rows: list[EncodedRow]) -> tuple[Any, float]:
    """Sum of weight × −log p over the target tokens by the model's own logits, and the sum of entropies."""
    import torch

    loss, entropy = torch.zeros(()), 0.0
    for each in rows:
        log_p_TV = model(input_ids=torch.tensor([each.input_ids])).logits[0].log_softmax(-1)
        for position, label in enumerate(each.labels[1:]):
            if label != IGNORED:
                loss = loss - each.weight * log_p_TV[position, label]
                entropy -= float((log_p_TV[position].exp() * log_p_TV[position]).sum().detach())
    return loss, entropy


def gradients(model: Any) -> dict[str, Any]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_packed_rows_have_the_loss_entropy_and_gradients_of_rows_one_by_one(
    architecture: str, checkpointing: bool
) -> None:
    rows = [each._replace(weight=1 + place / 4) for place, each in enumerate(ROWS)]
    plain = tiny(architecture)
    expected, entropy = losses_one_by_one(plain, rows)
    expected.backward()
    model = packed(tiny(architecture))
    if checkpointing:
        model.activation_checkpointing_enable()
    result = model(**pack(rows))
    result["loss"].backward()
    tokens = sum(map(len, (each.input_ids for each in rows)))
    assert float(result["loss"].detach()) / tokens == pytest.approx(float(expected.detach()) / tokens, abs=1e-5)
    assert float(result["entropy"]) == pytest.approx(entropy, rel=1e-5)
    ours, theirs = gradients(model), gradients(plain)
    assert ours.keys() == theirs.keys()
    largest = max(float(grad.abs().max()) for grad in theirs.values())
    for name, grad in theirs.items():
        assert float((ours[name] - grad).abs().max()) < 1e-5 * max(1.0, largest), name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_changing_one_row_leaves_the_losses_of_the_next_as_they_are_to_the_last_bit(architecture: str) -> None:
    """Losses of the second row alone: the first one weighs nothing."""
    model = packed(tiny(architecture))
    second = row(11, 4, 7)
    results = [model(**pack([row(13, 2, seed, weight=0.0), second])) for seed in (8, 9)]
    assert float(results[0]["loss"].detach()) == float(results[1]["loss"].detach()) > 0


def test_the_loss_is_the_mean_of_minus_log_p_worked_by_hand() -> None:
    """One row, one label: p = exp(logit) over the sum of exp(logits) at the token before it, in double precision."""
    import torch

    each = row(6, 1, 3)
    logits = tiny("llama")(input_ids=torch.tensor([each.input_ids])).logits[0, -2].tolist()
    by_hand = math.log(sum(math.exp(logit) for logit in logits)) - logits[each.input_ids[-1]]
    assert float(packed(tiny("llama"))(**pack([each]))["loss"].detach()) == pytest.approx(by_hand, abs=1e-5)


@pytest.mark.parametrize("words_at_once", [1, WORDS, 3 * WORDS])
def test_chunks_of_positions_change_neither_loss_nor_gradients(
    monkeypatch: pytest.MonkeyPatch, words_at_once: int
) -> None:
    """22 labelled positions, whole or one or three at a time."""
    from cgd.training import loss

    whole = packed(tiny("gemma 2"))
    expected = whole(**pack(ROWS))
    expected["loss"].backward()
    monkeypatch.setattr(loss, "_LOGITS_AT_ONCE", words_at_once)
    chunked = packed(tiny("gemma 2"))
    result = chunked(**pack(ROWS))
    result["loss"].backward()
    assert float(result["loss"].detach()) == pytest.approx(float(expected["loss"].detach()), rel=1e-6)
    assert float(result["entropy"]) == pytest.approx(float(expected["entropy"]), rel=1e-6)
    for name, grad in gradients(whole).items():
        assert float((gradients(chunked)[name] - grad).abs().max()) < 1e-4, name


def test_an_adapter_is_trained_through_the_packed_loss() -> None:
    """The frozen head gets no gradient; the adapters' are those of rows one by one."""
    from peft import LoraConfig, get_peft_model

    from cgd.models import quiet_libraries

    quiet_libraries()

    def adapted(prepare: Callable[[Any], Any]) -> Any:
        import torch

        model = prepare(tiny("llama"))
        torch.manual_seed(1)
        settings = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
        return get_peft_model(model, settings)

    plain, model = adapted(lambda model: model), adapted(packed)
    losses_one_by_one(plain, ROWS)[0].backward()
    model(**pack(ROWS))["loss"].backward()
    ours, theirs = gradients(model), gradients(plain)
    assert ours.keys() == theirs.keys() and all("lora" in name for name in ours)
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-4


def test_under_bfloat16_the_head_gets_its_gradient_from_every_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A remembered cast would lose it: bfloat16 has 8 bits, so gradients agree to a few percent."""
    import torch

    from cgd.training import loss

    exact = packed(tiny("llama"))
    exact(**pack(ROWS))["loss"].backward()
    monkeypatch.setattr(loss, "_LOGITS_AT_ONCE", 3 * WORDS)
    model = packed(tiny("llama"))
    with torch.autocast("cpu", torch.bfloat16):
        result = model(**pack(ROWS))
    result["loss"].backward()
    a, b = (gradients(each)["model.embed_tokens.weight"] for each in (model, exact))
    assert float((a - b).norm() / b.norm()) < 0.1


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}}),
        ("mamba", {"state_size": 4}),
    ],
)
def test_models_that_can_not_keep_rows_apart_get_one_row_at_a_time(kind: str, changes: dict[str, Any]) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    from cgd.training.attention import set_attention
    from cgd.training.loss import use_target_loss

    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SMALL, **changes}))
    assert not set_attention(model, TrainingConfig(), "cpu")
    expected, _ = losses_one_by_one(model, [ROWS[1]])
    use_target_loss(model, packs=False)
    assert float(model(**pack([ROWS[1]]))["loss"].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_eager_attention_is_the_way_out_for_any_model() -> None:
    from cgd.training.attention import set_attention

    model = tiny("llama")
    assert not set_attention(model, TrainingConfig(attention="eager"), "cpu")
    assert model.config._attn_implementation == "eager"


def test_flash_attention_that_is_not_there_is_refused() -> None:
    from cgd.training.attention import set_attention

    with pytest.raises(UserError, match='training.attention = "flash_attention_2" can\'t be had'):
        set_attention(tiny("llama"), TrainingConfig(attention="flash_attention_2"), "cpu")


def test_a_model_that_loses_the_lengths_on_the_way_is_refused() -> None:
    import torch

    model = packed(tiny("llama"))
    with pytest.raises(UserError, match='set training.attention = "eager"'):
        model.model(input_ids=torch.tensor([[3, 4, 5]]))
