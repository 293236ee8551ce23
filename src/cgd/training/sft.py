"""Fine-tuning: rows with `input_ids` and `labels` in training order in, a complete model folder out.

The trainer never learns which objective made the rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgd.config import TrainingConfig
from cgd.errors import UserError
from cgd.models import quiet_libraries
from cgd.progress import StageProgress
from cgd.training.collate import Packing, predicted_tokens
from cgd.training.completion_only import EncodedRow
from cgd.training.disk import disk_faults_stop
from cgd.training.folders import complete_folder, merge_adapter
from cgd.training.memory import kept_memory
from cgd.training.scratch import close_scratch, open_scratch

# Tokens of one pass: larger ones gain little on a CPU, where they fill the matrix product, and cost memory.
CPU_TOKENS, GPU_TOKENS = 1024, 8192
_LOGGED = ("step", "loss", "grad_norm", "entropy", "learning_rate", "tokens", "seconds", "tokens_per_s")
_STATES = 5  # a training that is killed loses a fifth of its steps at most


def train(  # noqa: PLR0913 - the caller's job, item by item
    rows: Sequence[EncodedRow], student: Path, out: Path, config: TrainingConfig, seed: int, title: str, key: str = ""
) -> dict[str, Any]:
    """Fine-tune the student on the rows and save it, complete with tokenizer and template, in `out`.

    Args:
        rows: encoded rows in training order, repeated over epochs: each `batch_size` of them are one optimizer step.
        student: folder of the untrained student.
        out: folder to write. What a training of the same `key` left there is continued; anything else is deleted.
        config: the recipe's training section.
        seed: of the adapter's initialisation.
        title: shown beside the progress bar.
        key: names everything that decides the weights; an empty one starts anew.

    Returns:
        The account of the training: rows as trained, their tokens, steps, seconds (of all attempts' finished steps),
        and a log with loss, gradient norm, mean entropy of the target tokens (nats) and learning rate of each step.

    Raises:
        UserError: a row has no token to learn, or the loss went astray; nothing is saved then.
        StoppedError: the disk is full or fails; the last complete state is as it was.
    """
    _check_rows(rows)
    quiet_libraries()
    with kept_memory(), disk_faults_stop(out):
        return _train(rows, student, out, config, seed, title, key)


def _train(  # noqa: PLR0913 - as `train`
    rows: Sequence[EncodedRow], student: Path, out: Path, config: TrainingConfig, seed: int, title: str, key: str
) -> dict[str, Any]:
    from accelerate.utils import broadcast_object_list
    from transformers import set_seed

    set_seed(seed)
    started = time.perf_counter()
    steps = [rows[start : start + config.batch_size] for start in range(0, len(rows), config.batch_size)]
    arguments = _arguments(out, config, seed, len(steps))
    # One process alone looks, so that no other one sees a shared folder half emptied.
    (state,) = broadcast_object_list([open_scratch(out, key) if arguments.should_save else None])
    with StageProgress(title, len(steps), "steps") as progress:
        trainer = _trainer(steps, student, config, arguments, progress)
        trainer.train(resume_from_checkpoint=str(state) if state else None)
    _save(trainer, student, out, config)
    log = [{name: entry[name] for name in _LOGGED} for entry in trainer.state.log_history if "loss" in entry]
    seconds_before = sum(entry["seconds"] for entry in log[: int(state.name.rpartition("-")[2])]) if state else 0.0
    return {
        "rows": len(rows),
        "steps": trainer.state.global_step,
        "context_tokens": sum(len(row.input_ids) - row.target_tokens for row in rows),
        "target_tokens": sum(row.target_tokens for row in rows),
        "seconds": round(time.perf_counter() - started + seconds_before, 1),
        "final_loss": log[-1]["loss"],
        "method": config.method,
        "log": log,
    }


def _check_rows(rows: Sequence[EncodedRow]) -> None:
    if not rows:
        raise UserError("there are no rows to train on")
    for place, row in enumerate(rows):
        if not predicted_tokens(row):
            raise UserError(
                f"training row {place} has no target token that carries loss ({len(row.input_ids)} tokens, all of them "
                "context): leave it out, or give it a target"
            )


def _trainer(
    steps: Sequence[Sequence[EncodedRow]],
    student: Path,
    config: TrainingConfig,
    arguments: Any,
    progress: StageProgress,
) -> Any:
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    from cgd.training.attention import set_attention
    from cgd.training.callbacks import KeepCheckpoints, LiveProgress, NoStateAtTheEnd
    from cgd.training.loss import use_target_loss
    from cgd.training.trainer import PackedTrainer

    model = load_student(student, config)
    packs = set_attention(model, config, arguments.device.type)
    use_target_loss(model, packs=packs)
    if config.method == "lora":
        model = _with_adapter(model, config)
    trainer = PackedTrainer(
        steps=steps,
        packing=_packing(config, arguments.device.type) if packs else Packing(rows=1),
        model=model,
        args=arguments,
        callbacks=[LiveProgress(progress), NoStateAtTheEnd()],
    )
    trainer.add_callback(KeepCheckpoints(trainer, student, config))
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    return trainer


def load_student(student: Path, config: TrainingConfig) -> Any:
    """The weights as they are trained: float32, but for the frozen ones below an adapter.

    Under bfloat16 the arithmetic is bfloat16, not the weights: small updates would be rounded away.
    """
    import torch
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, config.dtype) if config.method == "lora" else torch.float32
    return AutoModelForCausalLM.from_pretrained(student, dtype=dtype, use_safetensors=True)


def _packing(config: TrainingConfig, device: str) -> Packing:
    if config.micro_batch_size:
        return Packing(rows=config.micro_batch_size)
    return Packing(tokens=CPU_TOKENS if device == "cpu" else GPU_TOKENS)


def _arguments(out: Path, config: TrainingConfig, seed: int, steps: int) -> Any:
    import torch
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(out),
        num_train_epochs=1,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=min(math.ceil(config.warmup_ratio * steps), steps - 1),  # a warm-up begins at zero
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        optim="adamw_torch_fused",
        bf16=config.dtype == "bfloat16",
        use_cpu=not torch.accelerator.is_available(),
        activation_checkpointing=config.gradient_checkpointing,
        seed=seed,
        logging_steps=1,
        logging_nan_inf_filter=False,  # a loss that is no number stops the training
        save_strategy="steps",
        save_steps=config.save_steps or math.ceil(steps / _STATES),
        use_cache=True,  # ends up in the saved config.json; the training itself runs without a cache
        report_to=list(config.report_to) or "none",
        run_name=out.name,
        dataloader_pin_memory=False,
    )


def _with_adapter(model: Any, config: TrainingConfig) -> Any:
    from peft import LoraConfig, get_peft_model

    adapter = LoraConfig(
        r=config.lora_rank, lora_alpha=config.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(model, adapter)


def _save(trainer: Any, student: Path, out: Path, config: TrainingConfig) -> None:
    """The model as the student's own kind of folder: adapters merged, tokenizer and template copied unchanged."""
    from transformers.integrations import unset_hf_deepspeed_config

    if config.method == "lora":
        trainer.save_model(str(out / "adapter-last"))
    else:
        trainer.save_model(str(out))
    trainer.accelerator.wait_for_everyone()
    unset_hf_deepspeed_config()  # what is loaded from now on is loaded by one process, whole
    if not trainer.args.should_save:
        return
    if config.method == "lora":
        for adapter in out.glob("adapter-*"):
            step = adapter.name.removeprefix("adapter-")
            merge_adapter(student, adapter, out if step == "last" else out / f"step-{step}", config)
    else:
        complete_folder(out, student, config)
    close_scratch(out)
