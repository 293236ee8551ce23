"""The optimizer step: transformers' trainer, fed with whole steps of packed rows.

Import this module inside functions: it imports torch and transformers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer

from cgd.errors import UserError
from cgd.training.collate import Packing, divide, pack, predicted_tokens
from cgd.training.completion_only import EncodedRow
from cgd.training.scratch import mark_whole

_DIVERGED_STEPS = 3


class PackedTrainer(Trainer):  # type: ignore[misc]
    """One item of the data is one optimizer step: its rows over all processes, in micro-batches.

    The loss of a step is sum of w_row · (−log p(token)) over its rows' target tokens, divided by the sum of w_row over
    the same tokens, however the rows are divided over micro-batches and processes.
    """

    def __init__(self, *, steps: Sequence[Sequence[EncodedRow]], packing: Packing, **wiring: Any) -> None:
        """Take the rows of every step; `wiring` goes to transformers' trainer."""
        super().__init__(train_dataset=steps, **wiring)
        check_saves_whole(self.accelerator.state)
        self._packing = packing
        self._entropy = torch.zeros((), device=self.args.device)
        self._counted = {"tokens": 0, "targets": 0}
        self._ended = time.perf_counter()

    def get_train_dataloader(self) -> Any:
        """Every process reads every step in order and takes its own share of it."""
        return DataLoader(self.train_dataset, batch_size=1, collate_fn=self._share)

    def _share(self, step: Sequence[Sequence[EncodedRow]]) -> dict[str, Any]:
        (rows,) = step
        mine = divide(rows, self._packing, self.args.world_size)[self.args.process_index]
        return {
            "micro_batches": [pack(batch) for batch in mine],
            "total_weight": sum(row.weight * predicted_tokens(row) for row in rows),
            "tokens": sum(len(row.input_ids) for row in rows),
            "targets": sum(predicted_tokens(row) for row in rows),
        }

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        """Forward and backward pass over this process's micro-batches; gradients are exchanged after the last one."""
        model.train()
        # Gradients are averaged over processes, each of which divides by the weight of all.
        scale = self.args.world_size / (inputs["total_weight"] or 1.0)
        loss_of_step = torch.zeros((), device=self.args.device)
        self._entropy = torch.zeros((), device=self.args.device)
        self._counted = {name: inputs[name] for name in self._counted}
        batches = inputs["micro_batches"]
        for index, batch in enumerate(batches):
            last = index == len(batches) - 1
            self.accelerator.gradient_state._set_sync_gradients(last)  # DeepSpeed steps where it is set
            with nullcontext() if last else self.accelerator.no_sync(model):
                result = model(**self._prepare_inputs(batch))
                loss = result["loss"] * scale
                self.accelerator.backward(loss)
            loss_of_step += loss.detach()
            self._entropy += result["entropy"]
        return loss_of_step

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what a step's account has besides the loss; stop a training that has gone wrong, before it is saved.

        Raises:
            UserError: the loss is no number any more, or far above where it began.
        """
        if "loss" in logs:
            entropy = self.accelerator.reduce(self._entropy, "sum").item()
            seconds = time.perf_counter() - self._ended
            self._ended += seconds
            logs |= {
                "entropy": entropy / self._counted["targets"],
                "tokens": self._counted["tokens"],
                "seconds": seconds,
                "tokens_per_s": self._counted["tokens"] / seconds,
            }
            history = [*self.state.log_history, logs]
            recent = [entry["loss"] for entry in history[1:][-_DIVERGED_STEPS:]]
            words = self.model.config.get_text_config().vocab_size
            check_progress(
                self.state.global_step, history[0]["loss"], recent or [logs["loss"]], logs["grad_norm"], words
            )
        super().log(logs, start_time)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """A sharded model hands tied weights over twice; they are saved once, as those of any other."""
        tied = getattr(self.model, "all_tied_weights_keys", {})
        super()._save(output_dir, state_dict and {k: v for k, v in state_dict.items() if k not in tied})

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            mark_whole(Path(self.args.output_dir), self.state.global_step)
        self._ended = time.perf_counter()  # the next step is timed without it


def check_saves_whole(state: Any) -> None:
    """Refuse a launch that shards the weights and would save shards only.

    Args:
        state: accelerate's.

    Raises:
        UserError: with the setting of the launch to change.
    """
    setting = None
    if state.distributed_type == "FSDP" and "FULL_STATE_DICT" not in str(state.fsdp_plugin.state_dict_type):
        setting = "fsdp_state_dict_type: FULL_STATE_DICT"
    if state.distributed_type == "DEEPSPEED":
        zero = state.deepspeed_plugin.deepspeed_config["zero_optimization"]
        if zero["stage"] == 3 and not zero.get("stage3_gather_16bit_weights_on_model_save"):
            setting = '"stage3_gather_16bit_weights_on_model_save": true'
    if setting:
        raise UserError(f"this launch would save parts of a model; its configuration needs {setting}")


def check_progress(step: int, first: float, recent: Sequence[float], grad_norm: float, words: int) -> None:
    """Raise where a training has gone wrong.

    Guessing among all words costs ln(words) a token more than knowing everything: a loss that has risen by more than
    that, and stays there, is no noise.

    Args:
        step: the last one.
        first: loss of the first step.
        recent: losses of the last few.
        grad_norm: of the last one.
        words: in the vocabulary.

    Raises:
        UserError: with the step and what to change.
    """
    lost = len(recent) == _DIVERGED_STEPS and min(recent) > first + math.log(words)
    if lost or not math.isfinite(recent[-1]) or not math.isfinite(grad_norm):
        raise UserError(
            f"training went wrong at step {step}: loss {recent[-1]:.4g} (first step {first:.4g}), gradient "
            f"norm {grad_norm:.4g}. Nothing was published. Lower training.learning_rate, raise training.warmup_ratio, "
            'or, with bfloat16, try training.dtype = "float32"'
        )
