"""Wires TRL's SFTTrainer: rows with `input_ids` and `labels` in, a complete model folder out.

The trainer never learns which objective made the rows.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgd.chat import load_tokenizer
from cgd.config import TrainingConfig
from cgd.models import quiet_libraries
from cgd.progress import StageProgress
from cgd.training.completion_only import EncodedRow


def optimizer_steps(config: TrainingConfig, rows: int) -> int:
    """Steps of one arm: `steps`, or as many as `epochs` over the rows take."""
    return config.steps or max(1, math.ceil(config.epochs * rows / config.batch_size))


def train(  # noqa: PLR0913 - what a training is made from, and where it goes
    rows: Sequence[EncodedRow], student: Path, out: Path, config: TrainingConfig, seed: int, title: str, key: str = ""
) -> dict[str, Any]:
    """Fine-tune the student on the rows and save it, complete with tokenizer and template, in `out`.

    Args:
        rows: encoded rows, shuffled by `seed`.
        student: folder of the untrained student.
        out: folder to write; emptied first.
        config: the recipe's training section.
        seed: of data order and adapter initialisation.
        title: shown beside the progress bar.
        key: of the checkpoint.

    Returns:
        The account of the training: rows and their tokens (one pass), steps, seconds, loss log.
    """
    from transformers import set_seed

    quiet_libraries()
    set_seed(seed)
    shutil.rmtree(out, ignore_errors=True)
    started = time.perf_counter()
    with StageProgress(title, math.ceil(len(rows) / config.batch_size), "steps") as progress:
        trainer = _trainer(rows, student, out, config, seed, progress)
        trainer.train()
    _save(trainer, student, out)
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    return {
        "rows": len(rows),
        "steps": trainer.state.global_step,
        "context_tokens": sum(len(row.input_ids) - row.target_tokens for row in rows),
        "target_tokens": sum(row.target_tokens for row in rows),
        "seconds": round(time.perf_counter() - started, 1),
        "final_loss": log[-1]["loss"] if log else None,
        "method": config.method,
        "log": log,
    }


def _trainer(
    rows: Sequence[EncodedRow], student: Path, out: Path, config: TrainingConfig, seed: int, progress: StageProgress
) -> Any:
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from transformers.trainer_callback import PrinterCallback, ProgressCallback
    from trl import SFTTrainer

    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(student, dtype=getattr(torch, config.dtype), use_safetensors=True),
        args=_arguments(out, config, seed, math.ceil(len(rows) / config.batch_size)),
        train_dataset=Dataset.from_list([row._asdict() for row in rows]),
        processing_class=load_tokenizer(student),
        peft_config=_adapter(config) if config.method == "lora" else None,
        callbacks=[_progress_callback(progress)],
    )
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(out: Path, config: TrainingConfig, seed: int, steps: int) -> Any:
    from trl import SFTConfig

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    micro = config.micro_batch_size or max(1, config.batch_size // processes)
    return SFTConfig(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=max(1, config.batch_size // (micro * processes)),
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=min(math.ceil(config.warmup_ratio * steps), steps - 1),  # a warm-up begins at zero
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        max_length=None,  # rows are already encoded and measured; TRL must not cut them
        bf16=config.dtype == "bfloat16",
        activation_checkpointing=config.gradient_checkpointing,
        seed=seed,
        data_seed=seed,
        logging_steps=1,
        save_strategy="no",
        use_cache=True,  # ends up in the saved config.json; the training itself runs without a cache
        report_to="none",
        dataloader_pin_memory=False,
    )


def _adapter(config: TrainingConfig) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=config.lora_rank, lora_alpha=config.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def _progress_callback(progress: StageProgress) -> Any:
    from transformers import TrainerCallback

    class LiveProgress(TrainerCallback):  # type: ignore[misc]
        """Shows steps, tokens/s and loss."""

        tokens = 0.0

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            if "loss" in logs:
                seen = logs.get("num_tokens", 0.0)
                progress.advance(1, int(seen - self.tokens), f"loss {logs['loss']:.3f}")
                self.tokens = seen

    return LiveProgress()


def _save(trainer: Any, student: Path, out: Path) -> None:
    """The model as the student's own kind of folder: adapter merged, tokenizer and template copied unchanged."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    model.save_pretrained(out)
    for file in student.iterdir():
        weights = file.suffix in {".safetensors", ".gguf", ".bin"} or file.name.endswith(".index.json")
        if file.is_file() and not weights and not (out / file.name).exists():
            shutil.copy2(file, out / file.name)
    (out / "training_args.bin").unlink(missing_ok=True)
