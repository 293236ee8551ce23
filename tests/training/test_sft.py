"""Run with: pytest tests/training/test_sft.py. The trainer itself, on a random-weight model of two layers."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from cgd.chat import encode_chat, load_tokenizer
from cgd.config import TrainingConfig
from cgd.errors import UserError
from cgd.models import model_folder
from cgd.progress import StageProgress
from cgd.records import Example, Message
from cgd.training import sft
from cgd.training.completion_only import IGNORED, EncodedRow, encode_example
from cgd.training.sft import train

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


def run(rows: list[EncodedRow], student: Path, out: Path, config: TrainingConfig, **job: Any) -> dict[str, Any]:
    """Train on the rows, repeated in order until the steps are full."""
    wanted = config.steps * config.batch_size if config.steps else len(rows)
    return train((rows * wanted)[:wanted], student, out, config, **{"seed": 0, "title": "train", **job})


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
    return out, run(rows, student, out, settings(steps=8))


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
    account = run(rows, student, tmp_path / "out", settings(steps=1, micro_batch_size=2))
    assert account["final_loss"] == pytest.approx(mean_loss(student, rows), rel=1e-4)


def test_the_account_counts_rows_steps_and_tokens(trained: tuple[Path, Any], rows: list[EncodedRow]) -> None:
    account = trained[1]
    assert (account["rows"], account["steps"], account["method"]) == (8 * 8, 8, "full")
    assert account["target_tokens"] == 8 * sum(len(row.labels) - row.labels.count(IGNORED) for row in rows)
    assert account["context_tokens"] == 8 * sum(row.labels.count(IGNORED) for row in rows)


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
    run(rows, student, tmp_path / "out", settings(steps=1))
    assert not (tmp_path / "out" / "adapter_model.safetensors").exists()
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_a_merged_adapter_is_an_ordinary_model_folder(student: Path, rows: list[EncodedRow], tmp_path: Path) -> None:
    """The first loss is the student's own, as an adapter begins at nothing; the merged model has learnt."""
    out = tmp_path / "out"
    account = run(rows, student, out, settings(method="lora", steps=8))
    assert account["log"][0]["loss"] == pytest.approx(mean_loss(student, rows), rel=1e-4)
    assert account["method"] == "lora"
    assert sorted(file.name for file in out.iterdir()) == sorted(file.name for file in student.iterdir())
    assert json.loads((out / "config.json").read_text()) == json.loads((student / "config.json").read_text())
    assert largest_difference(out, student) > 1e-3
    assert mean_loss(out, rows) < mean_loss(student, rows)


def test_rank_and_scale_of_the_adapter_matter(student: Path, rows: list[EncodedRow], tmp_path: Path) -> None:
    for name, changes in {"a": {}, "rank": {"lora_rank": 2}, "scale": {"lora_alpha": 8}}.items():
        run(rows, student, tmp_path / name, settings(method="lora", **changes))
    assert largest_difference(tmp_path / "a", tmp_path / "rank") > 1e-4
    assert largest_difference(tmp_path / "a", tmp_path / "scale") > 1e-4


@pytest.mark.parametrize(
    "changes", [{"micro_batch_size": 2}, {"micro_batch_size": 8}, {"gradient_checkpointing": True}]
)
def test_what_only_costs_memory_gives_the_same_weights(
    student: Path, rows: list[EncodedRow], tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Only the order of summation is another: after three steps of 1e-4 weights agree to 1e-5."""
    run(rows, student, tmp_path / "plain", settings(learning_rate=1e-4))
    run(rows, student, tmp_path / "changed", settings(learning_rate=1e-4, **changes))
    assert largest_difference(tmp_path / "plain", tmp_path / "changed") < 1e-5


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_same_rows_and_seed_give_the_same_weights_and_others_give_others(
    student: Path, rows: list[EncodedRow], tmp_path: Path, method: str
) -> None:
    """The order of rows is the caller's; the seed decides how an adapter begins, and nothing else."""
    config = settings(method=method, batch_size=4)
    for name in ("one", "same"):
        run(rows, student, tmp_path / name, config)
    run(rows, student, tmp_path / "seed", config, seed=1)
    run(rows[::-1], student, tmp_path / "order", config)
    assert largest_difference(tmp_path / "one", tmp_path / "same") == 0.0
    assert (largest_difference(tmp_path / "one", tmp_path / "seed") > 1e-4) == (method == "lora")
    assert largest_difference(tmp_path / "one", tmp_path / "order") > 1e-4


def test_rows_are_taken_in_order_each_step_its_own(student: Path, rows: list[EncodedRow], tmp_path: Path) -> None:
    """Steps of 3, 3 and 2 rows: the tokens of each are those of its rows, and its loss is theirs at that moment."""
    account = run(rows, student, tmp_path / "out", settings(steps=None, epochs=1, batch_size=3, learning_rate=1e-12))
    assert account["steps"] == 3
    for entry, part in zip(account["log"], (rows[:3], rows[3:6], rows[6:]), strict=True):
        assert entry["tokens"] == sum(len(row.input_ids) for row in part)
        assert entry["loss"] == pytest.approx(mean_loss(student, part), rel=1e-4)


def test_a_row_counts_as_often_as_its_weight_says(student: Path, rows: list[EncodedRow], tmp_path: Path) -> None:
    """Σ w·nll / Σ w·tokens with weights 0, 1, 2: rows of weight 0 add nothing, those of weight 2 add twice."""
    weighted = [row._replace(weight=float(place % 3)) for place, row in enumerate(rows)]
    sums = [mean_loss(student, [row]) * row.target_tokens for row in rows]
    tokens = sum(row.weight * row.target_tokens for row in weighted)
    expected = sum(row.weight * loss for row, loss in zip(weighted, sums, strict=True)) / tokens
    account = run(weighted, student, tmp_path / "out", settings(steps=1, micro_batch_size=2))
    assert account["final_loss"] == pytest.approx(expected, rel=1e-4)


def test_the_log_has_what_a_step_was_like(trained: tuple[Path, Any], student: Path, rows: list[EncodedRow]) -> None:
    """Entropy by hand: −Σ p·log p over the vocabulary at the token before each target token, then the mean."""
    import torch
    from transformers import AutoModelForCausalLM

    model, entropies = AutoModelForCausalLM.from_pretrained(student).eval(), []
    for row in rows:
        with torch.no_grad():
            log_p_TV = model(torch.tensor([row.input_ids])).logits[0].double().log_softmax(-1)
        per_token = (-log_p_TV.exp() * log_p_TV).sum(-1).tolist()
        entropies += [per_token[t - 1] for t, label in enumerate(row.labels) if label != IGNORED]
    first, *_, last = trained[1]["log"]
    assert first["entropy"] == pytest.approx(sum(entropies) / len(entropies), rel=1e-4)
    assert (first["step"], last["step"]) == (1, 8)
    assert first["learning_rate"] == 1e-2 and first["grad_norm"] > 0
    assert first["tokens_per_s"] == pytest.approx(first["tokens"] / first["seconds"])


@pytest.mark.parametrize("asked", [False, True])
def test_memory_is_traded_for_time_only_where_the_recipe_says_so(
    student: Path, rows: list[EncodedRow], tmp_path: Path, asked: bool
) -> None:
    config = settings(gradient_checkpointing=asked)
    with StageProgress("train", 1, "steps") as progress:
        trainer = sft._trainer([rows], student, config, sft._arguments(tmp_path, config, 0, 1), progress)
        trainer.train()
    assert trainer.model.is_activation_checkpointing is asked


def test_a_row_without_a_target_is_refused_before_anything_is_loaded(rows: list[EncodedRow], tmp_path: Path) -> None:
    masked = EncodedRow(rows[0].input_ids, [IGNORED] * len(rows[0].input_ids))
    with pytest.raises(UserError, match="training row 1 has no target token that carries loss"):
        train([rows[0], masked], tmp_path / "nowhere", tmp_path / "out", settings(), 0, "train")


def test_a_training_whose_loss_is_no_number_any_more_stops_and_saves_nothing(
    student: Path, rows: list[EncodedRow], tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=r"training went wrong at step 2: .* norm (nan|inf)\. .*Lower training.learning_rate"
    ):
        run(rows, student, tmp_path / "out", settings(steps=20, learning_rate=1e30, batch_size=2, save_steps=1))
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [
        ([2.0, 7.0, 7.0, 7.0], True),
        ([2.0, 7.0, 7.0, 6.0], False),
        ([2.0, 7.0, 7.0], False),
        ([2.0, 1.0, math.inf], True),
        ([7.0, 7.1, 7.1, 7.1], False),
    ],
)
def test_a_loss_that_stays_above_guessing_is_a_diverged_training(losses: list[float], diverged: bool) -> None:
    """Of 100 words ln(100) = 4.6: from 2.0 on more than 6.6 in three steps running is too much."""
    from cgd.training.trainer import check_progress

    with pytest.raises(UserError, match="went wrong") if diverged else nullcontext():
        check_progress(len(losses), losses[0], losses[1:], 1.0, 100)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_checkpoints_along_the_way_are_complete_folders_and_the_last_one_is_the_model(
    student: Path, rows: list[EncodedRow], tmp_path: Path, method: str
) -> None:
    """Four of eight steps: after 2, 4 and 6, and the model itself; each is what a shorter training makes."""
    config = settings(steps=8, method=method, keep_checkpoints=4)
    run(rows, student, tmp_path / "out", config)
    kept = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert kept == ["step-000002", "step-000004", "step-000006"]
    files = sorted(file.name for file in student.iterdir())
    assert all(sorted(file.name for file in (tmp_path / "out" / name).iterdir()) == files for name in kept)
    run(rows, student, tmp_path / "short", settings(steps=4, method=method))
    assert largest_difference(tmp_path / "out" / "step-000004", tmp_path / "short") == 0.0


def test_bfloat16_trains_and_is_saved_as_such(student: Path, rows: list[EncodedRow], tmp_path: Path) -> None:
    """The arithmetic has 8 bits: the first loss agrees with float32 to about a percent."""
    import torch

    for method in ("full", "lora"):
        account = run(rows, student, tmp_path / method, settings(dtype="bfloat16", method=method))
        assert account["log"][0]["loss"] == pytest.approx(mean_loss(student, rows), rel=2e-2)
        assert {tensor.dtype for tensor in state(tmp_path / method).values()} == {torch.bfloat16}
        assert json.loads((tmp_path / method / "config.json").read_text())["dtype"] == "bfloat16"


def test_the_saved_configuration_names_no_attention_of_ours(trained: tuple[Path, Any], student: Path) -> None:
    written = (trained[0] / "config.json").read_text()
    assert "cgd" not in written
    assert json.loads(written) == json.loads((student / "config.json").read_text())


def test_a_training_of_one_step_learns(student: Path, rows: list[EncodedRow], tmp_path: Path) -> None:
    """A warm-up begins at a learning rate of zero: the default 5% of one step must not be that one step."""
    account = run(rows, student, tmp_path / "out", TrainingConfig(steps=1))
    assert account["log"][0]["learning_rate"] > 0
    assert largest_difference(tmp_path / "out", student) > 0
