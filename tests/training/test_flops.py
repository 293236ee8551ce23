"""Run with: pytest tests/training/test_flops.py."""

from __future__ import annotations

from pathlib import Path

from cgd.training.completion_only import IGNORED, EncodedRow
from cgd.training.flops import model_shape, training_flops


def test_operations_of_a_small_student_are_counted_by_hand(student: Path) -> None:
    """One row of 4 tokens of which 2 carry loss.

    Body 6 * P * 4, head 6 * d * V * 2, attention 12 * layers * width * (4 * 5 / 2) pairs.
    """
    shape = model_shape(student)
    row = EncodedRow([1, 2, 3, 4], [IGNORED, IGNORED, 3, 4])
    body, head = 6 * shape.body * 4, 6 * shape.width * shape.vocabulary * 2
    assert training_flops(student, [row]) == body + head + 12 * shape.layers * shape.attention * 10
    assert training_flops(student, [row, row]) == 2 * training_flops(student, [row])


def test_embedding_and_head_are_no_part_of_the_body(student: Path) -> None:
    """A Llama layer: q and o d * d, k and v d * kv, three products d * f, two norms d; and the last norm."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(student)
    d, f = config.hidden_size, config.intermediate_size
    kv = config.num_key_value_heads * (d // config.num_attention_heads)
    layer = 2 * d * d + 2 * d * kv + 3 * d * f + 2 * d
    assert model_shape(student).body == config.num_hidden_layers * layer + d
