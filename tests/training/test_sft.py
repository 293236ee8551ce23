"""Run with: pytest tests/training/test_sft.py. TRL's trainer itself, on a random-weight model of two layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cgd.chat import encode_chat, load_tokenizer
from cgd.config import TrainingConfig
from cgd.models import model_folder
from cgd.progress import StageProgress
from cgd.records import Example, Message
from cgd.training import sft
from cgd.training.completion_only import IGNORED, EncodedRow, encode_example
from cgd.training.sft import optimizer_steps, train

SUMS = [(3, 4), (5, 1), (12, 7), (4, 6), (8, 2), (9, 9), (19, 5), (2, 2)]


@pytest.fixture(scope="module")
def rows(student: Path) -> list[EncodedRow]:
    """Eight rows of different lengths."""
    tokenizer = load_tokenizer(student)
    examples = [
        Example(({"role": "user", "content": f"Ana has {a} apples, gets {b} more." + " How many?" * (a % 3)},), answer)
        for a, b in SUMS
        for answer in [f"{a} + {b} = {a + b}\n" * (b % 3) + f"Answer: {a + b}"]
    ]
    return [encode_example(tokenizer, example) for example in examples]


def settings(**changes: Any) -> TrainingConfig:
    return TrainingConfig(**{"steps": 3, "batch_size": 8, "learning_rate": 1e-2, "schedule": "constant", **changes})


def state(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    tensors: dict[str, Any] = load_file(folder / "model.safetensors")
    return tensors


def largest_difference(one: Path, other: Path) -> float:
    a, b = state(one), state(other)
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def mean_loss(folder: Path, rows: list[EncodedRow]) -> float:
    """Mean over all target tokens of the rows of −log p(token | the tokens before it), row by row, nothing padded."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    total = 0.0
    for row in rows:
        with torch.no_grad():
            log_p_TV = model(torch.tensor([row.input_ids])).logits[0].double().log_softmax(-1)
        total -= sum(float(log_p_TV[t - 1, label]) for t, label in enumerate(row.labels) if label != IGNORED)
    return total / sum(row.target_tokens for row in rows)


@pytest.fixture(scope="module")
def trained(student: Path, rows: list[EncodedRow], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder after eight steps over all rows, and the account of them."""
    out = tmp_path_factory.mktemp("trained") / "seed0"
    return out, train(rows, student, out, settings(steps=8), 0, "train")


def test_the_loss_goes_down(trained: tuple[Path, Any], student: Path, rows: list[EncodedRow]) -> None:
    folder, account = trained
    losses = [entry["loss"] for entry in account["log"]]
    assert len(losses) == account["steps"] == 8
    assert losses[-1] < 0.8 * losses[0] and account["final_loss"] == losses[-1]
    assert mean_loss(folder, rows) < 0.8 * mean_loss(student, rows)


def test_the_first_loss_is_the_mean_over_the_target_tokens_of_the_batch(
    trained: tuple[Path, Any], student: Path, rows: list[EncodedRow]
) -> None:
    """All eight rows are the first batch: long targets weigh more, contexts and padding nothing, and no dropout."""
    assert trained[1]["log"][0]["loss"] == pytest.approx(mean_loss(student, rows), rel=1e-4)


def test_the_loss_of_small_batches_is_the_mean_over_all_target_tokens_too(
    student: Path, rows: list[EncodedRow], tmp_path: Path
) -> None:
    account = train(rows, student, tmp_path / "out", settings(steps=1, micro_batch_size=2), 0, "train")
    assert account["final_loss"] == pytest.approx(mean_loss(student, rows), rel=1e-4)


def test_the_account_counts_rows_steps_and_tokens(trained: tuple[Path, Any], rows: list[EncodedRow]) -> None:
    account = trained[1]
    assert (account["rows"], account["method"]) == (8, "full")
    assert account["target_tokens"] == sum(len(row.labels) - row.labels.count(IGNORED) for row in rows)
    assert account["context_tokens"] == sum(row.labels.count(IGNORED) for row in rows)


def test_the_saved_folder_is_complete_and_loads_again(trained: tuple[Path, Any], student: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = trained[0]
    assert sorted(file.name for file in folder.iterdir()) == sorted(file.name for file in student.iterdir())
    for name in ("chat_template.jinja", "tokenizer.json", "tokenizer_config.json"):
        assert (folder / name).read_bytes() == (student / name).read_bytes(), name
    assert model_folder(str(folder)) == folder
    chat = [Message(role="user", content="Ana has 12 apples")]
    assert encode_chat(load_tokenizer(folder), chat) == encode_chat(load_tokenizer(student), chat)
    loaded = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert loaded.keys() == AutoModelForCausalLM.from_pretrained(student).state_dict().keys()
    assert all(bool((tensor == loaded[name]).all()) for name, tensor in state(folder).items())
    assert largest_difference(folder, student) > 1e-3


def test_a_folder_that_stands_there_is_emptied_first(student: Path, rows: list[EncodedRow], tmp_path: Path) -> None:
    """A training that was killed leaves half a folder behind."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "adapter_model.safetensors").write_text("half")
    train(rows, student, tmp_path / "out", settings(steps=1), 0, "train")
    assert not (tmp_path / "out" / "adapter_model.safetensors").exists()
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_a_merged_adapter_is_an_ordinary_model_folder(student: Path, rows: list[EncodedRow], tmp_path: Path) -> None:
    """The first loss is the student's own, as an adapter begins at nothing; the merged model has learnt."""
    out = tmp_path / "out"
    account = train(rows, student, out, settings(method="lora", steps=8), 0, "train")
    assert account["log"][0]["loss"] == pytest.approx(mean_loss(student, rows), rel=1e-4)
    assert account["method"] == "lora"
    assert sorted(file.name for file in out.iterdir()) == sorted(file.name for file in student.iterdir())
    assert json.loads((out / "config.json").read_text()) == json.loads((student / "config.json").read_text())
    assert largest_difference(out, student) > 1e-3
    assert mean_loss(out, rows) < mean_loss(student, rows)


def test_rank_and_scale_of_the_adapter_matter(student: Path, rows: list[EncodedRow], tmp_path: Path) -> None:
    for name, changes in {"a": {}, "rank": {"lora_rank": 2}, "scale": {"lora_alpha": 8}}.items():
        train(rows, student, tmp_path / name, settings(method="lora", **changes), 0, "train")
    assert largest_difference(tmp_path / "a", tmp_path / "rank") > 1e-4
    assert largest_difference(tmp_path / "a", tmp_path / "scale") > 1e-4


@pytest.mark.parametrize(
    "changes", [{"micro_batch_size": 2}, {"micro_batch_size": 8}, {"gradient_checkpointing": True}]
)
def test_what_only_costs_memory_gives_the_same_weights(
    student: Path, rows: list[EncodedRow], tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Only the order of summation is another: after three steps of 1e-4 weights agree to 1e-5."""
    train(rows, student, tmp_path / "plain", settings(learning_rate=1e-4), 0, "train")
    train(rows, student, tmp_path / "changed", settings(learning_rate=1e-4, **changes), 0, "train")
    assert largest_difference(tmp_path / "plain", tmp_path / "changed") < 1e-5


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    student: Path, rows: list[EncodedRow], tmp_path: Path, method: str
) -> None:
    """Four rows a step: the seed decides which come first."""
    config = settings(method=method, batch_size=4)
    for name, seed in {"one": 0, "same": 0, "other": 1}.items():
        train(rows, student, tmp_path / name, config, seed, "train")
    assert largest_difference(tmp_path / "one", tmp_path / "same") == 0.0
    assert largest_difference(tmp_path / "one", tmp_path / "other") > 1e-4


def test_the_trainer_sees_our_rows_untouched(student: Path, rows: list[EncodedRow], tmp_path: Path) -> None:
    """One epoch of batches holds each row once, ids and labels as we made them; only padding is added, unlabelled."""
    with StageProgress("train", 4, "steps") as progress:
        trainer = sft._trainer(rows, student, tmp_path, settings(batch_size=2, steps=4), 0, progress)
        batches = list(trainer.get_train_dataloader())
    seen = []
    for batch in batches:
        columns = (batch["input_ids"], batch["labels"], batch["attention_mask"])
        for ids, labels, mask in zip(*(column.tolist() for column in columns), strict=True):
            length = sum(mask)
            assert mask == [1] * length + [0] * (len(mask) - length)
            assert set(labels[length:]) <= {IGNORED}
            seen.append(EncodedRow(ids[:length], labels[:length]))
    assert len(batches) == 4
    assert sorted(seen) == sorted(rows)


@pytest.mark.parametrize("asked", [False, True])
def test_memory_is_traded_for_time_only_where_the_recipe_says_so(
    student: Path, rows: list[EncodedRow], tmp_path: Path, asked: bool
) -> None:
    """TRL's own default is the other way round."""
    with StageProgress("train", 1, "steps") as progress:
        trainer = sft._trainer(rows, student, tmp_path, settings(gradient_checkpointing=asked, steps=1), 0, progress)
        trainer.train()
    assert trainer.model.is_activation_checkpointing is asked


@pytest.mark.parametrize(
    ("changes", "steps"),
    [({"steps": 5}, 5), ({"epochs": 1}, 3), ({"epochs": 2.5}, 7), ({"epochs": 0.01}, 1), ({"batch_size": 64}, 1)],
)
def test_steps_follow_from_rows_epochs_and_batch_size(changes: dict[str, Any], steps: int) -> None:
    """20 rows in batches of 8: 2.5 steps a pass, so 3; two and a half passes are 6.25, so 7."""
    assert optimizer_steps(TrainingConfig(**{"batch_size": 8, **changes}), 20) == steps


def test_an_epoch_that_does_not_divide_takes_its_last_rows_too(
    student: Path, rows: list[EncodedRow], tmp_path: Path
) -> None:
    """8 rows in batches of 3: steps of 3, 3 and 2 rows; every token is seen once."""
    account = train(rows, student, tmp_path / "out", settings(steps=None, epochs=1, batch_size=3), 0, "train")
    assert account["steps"] == 3
    assert account["log"][-1]["num_tokens"] == sum(len(row.input_ids) for row in rows)


def test_a_training_of_one_step_learns(student: Path, rows: list[EncodedRow], tmp_path: Path) -> None:
    """A warm-up begins at a learning rate of zero: the default 5% of one step must not be that one step."""
    account = train(rows, student, tmp_path / "out", TrainingConfig(steps=1), 0, "train")
    assert account["log"][0]["learning_rate"] > 0
    assert largest_difference(tmp_path / "out", student) > 0
