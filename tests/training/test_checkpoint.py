"""Run with: pytest tests/training/test_checkpoint.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cgd.config import TrainingConfig
from cgd.training.checkpoint import Stamp, checkpoint_key, find, publish, read_stamp

KEY = checkpoint_key("rows", TrainingConfig(), 0, "student")


def finished(folder: Path, weights: str) -> Path:
    """What a trainer leaves in its scratch folder."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(weights)
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        *({"method": "lora"}, {"epochs": 2.0}, {"steps": 3}, {"batch_size": 4}, {"learning_rate": 1e-5}),
        *({"schedule": "linear"}, {"warmup_ratio": 0.1}, {"weight_decay": 0.1}, {"max_grad_norm": 0.5}),
        *({"max_length": 512}, {"lora_rank": 8}, {"lora_alpha": 8}, {"dtype": "bfloat16"}),
        *({"match": "tokens"}, {"keep_checkpoints": 2}, {"attention": "eager"}),
    ],
)
def test_every_setting_that_decides_the_weights_is_in_the_key(changes: dict[str, Any]) -> None:
    assert checkpoint_key("rows", TrainingConfig(**changes), 0, "student") != KEY


@pytest.mark.parametrize(
    "changes",
    [
        *({"seeds": (0, 1)}, {"max_overlength_share": 0.5}, {"micro_batch_size": 2}, {"gradient_checkpointing": True}),
        *({"save_steps": 1}, {"report_to": ("tensorboard",)}, {"held_out": 9}),
    ],
)
def test_settings_that_do_not_change_the_weights_are_not(changes: dict[str, Any]) -> None:
    assert checkpoint_key("rows", TrainingConfig(**changes), 0, "student") == KEY


def test_the_rule_that_selects_a_checkpoint_does_not_change_the_weights() -> None:
    kept = TrainingConfig(keep_checkpoints=2)
    chosen = kept.model_copy(update={"select": "held_out"})
    assert checkpoint_key("rows", kept, 0, "student") == checkpoint_key("rows", chosen, 0, "student")


def test_every_setting_is_judged_by_one_of_the_three_tests_above() -> None:
    """16 settings that decide the weights and 8 that don't: a new one belongs to one of the lists."""
    assert len(TrainingConfig.model_fields) == 16 + 8


def test_rows_seed_and_student_are_in_the_key() -> None:
    config = TrainingConfig()
    others = [("other", 0, "student"), ("rows", 1, "student"), ("rows", 0, "other")]
    keys = {checkpoint_key(rows, config, seed, student) for rows, seed, student in others}
    assert len(keys | {KEY}) == 4


def test_a_published_checkpoint_says_what_it_was_trained_from(tmp_path: Path) -> None:
    folder = tmp_path / "seed0"
    publish(finished(tmp_path / "seed0.partial", "w"), folder, "key", ["a", "b"], {"steps": 2})
    assert read_stamp(folder) == Stamp("key", ["a", "b"], {"steps": 2})
    assert (folder / "model.safetensors").read_text() == "w"
    assert [path.name for path in tmp_path.iterdir()] == ["seed0"]


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"key": "k"}', '{"key": "k", "left_out": [], "other": 1}'])
def test_a_folder_that_is_not_whole_counts_as_absent(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "cgd.json").write_text(content)
    assert read_stamp(tmp_path) is None
    assert read_stamp(tmp_path / "nowhere") is None


def test_a_checkpoint_that_is_replaced_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    folder, scratch = tmp_path / "seed0", tmp_path / "seed0.partial"
    publish(finished(scratch, "first"), folder, "1" * 64, [], {})
    publish(finished(scratch, "second"), folder, "2" * 64, [], {})
    assert (folder / "model.safetensors").read_text() == "second"
    assert (tmp_path / "seed0.replaced-11111111" / "model.safetensors").read_text() == "first"


def test_going_back_and_forth_between_two_recipes_keeps_the_last_of_each(tmp_path: Path) -> None:
    """First, second, first and second again: the third replacement meets the name of the first one."""
    folder, scratch = tmp_path / "seed0", tmp_path / "seed0.partial"
    for weights in ("1", "2", "1", "2"):
        publish(finished(scratch, weights), folder, weights * 64, [], {})
    assert (folder / "model.safetensors").read_text() == "2"
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["seed0", "seed0.replaced-11111111", "seed0.replaced-22222222"]
    assert json.loads((tmp_path / "seed0.replaced-11111111" / "cgd.json").read_text())["key"] == "1" * 64


def test_half_a_folder_in_the_way_is_kept_too(tmp_path: Path) -> None:
    folder = finished(tmp_path / "seed0", "of unknown origin")
    publish(finished(tmp_path / "seed0.partial", "new"), folder, "3" * 64, [], {})
    assert (tmp_path / "seed0.replaced-unknown" / "model.safetensors").read_text() == "of unknown origin"
    assert read_stamp(folder) == Stamp("3" * 64, [], {})


def test_a_checkpoint_that_was_replaced_is_found_and_put_back(tmp_path: Path) -> None:
    folder, scratch = tmp_path / "seed0", tmp_path / "seed0.partial"
    for weights in ("1", "2"):
        publish(finished(scratch, weights), folder, weights * 64, [], {"rows": 8})
    assert find(folder, "1" * 64, []) == Stamp("1" * 64, [], {"rows": 8})
    assert (folder / "model.safetensors").read_text() == "1"
    assert (tmp_path / "seed0.replaced-22222222" / "model.safetensors").read_text() == "2"


def test_a_checkpoint_trained_on_other_rows_is_not_found(tmp_path: Path) -> None:
    """The same key, but row `a` was left out then, and is not now."""
    folder = tmp_path / "seed0"
    publish(finished(tmp_path / "seed0.partial", "w"), folder, "1" * 64, ["a"], {})
    assert find(folder, "1" * 64, []) is None
    assert find(folder, "1" * 64, ["a"]) is not None
    assert find(folder, "2" * 64, ["a"]) is None
