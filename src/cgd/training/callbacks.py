"""What happens beside the optimizer steps.

Import this module inside functions: it imports transformers.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from cgd.config import TrainingConfig
from cgd.progress import StageProgress
from cgd.training.folders import complete_folder
from cgd.training.scratch import note_progress


class LiveProgress(TrainerCallback):  # type: ignore[misc]
    """Shows steps, tokens/s, loss and gradient norm, and the entropy of the target tokens (nats).

    The last step also stands in a file of the training's folder, for `cgd status` of another terminal.
    """

    def __init__(self, progress: StageProgress) -> None:
        """Report to a progress bar."""
        self._progress = progress

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count the steps of an earlier attempt."""
        self._note(args, state, None)
        self._progress.advance(state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        """Count a step."""
        if "loss" in logs:
            self._note(args, state, logs["loss"])
            shown = f"loss {logs['loss']:.3f}, gradient {logs['grad_norm']:.2f}, entropy {logs['entropy']:.3f}"
            self._progress.advance(1, int(logs["tokens"]), shown)

    def _note(self, args: Any, state: Any, loss: float | None) -> None:
        if state.is_world_process_zero:
            note_progress(Path(args.output_dir), {"step": state.global_step, "steps": state.max_steps, "loss": loss})


class NoStateAtTheEnd(TrainerCallback):  # type: ignore[misc]
    """Saves no state to go on from after the last step: there is nothing to go on to."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Runs after transformers' own callback has decided to save."""
        if state.global_step >= state.max_steps:
            control.should_save = False


class KeepCheckpoints(TrainerCallback):  # type: ignore[misc]
    """Writes model folders along the training, evenly spaced; the last one is the trained model itself."""

    def __init__(self, trainer: Any, student: Path, config: TrainingConfig) -> None:
        """Write to the trainer's folder: `step-N`, or `adapter-N`, which is merged after the training."""
        self._trainer, self._student, self._config = trainer, student, config
        self._out = Path(trainer.args.output_dir)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write a folder where its turn has come."""
        kept = self._config.keep_checkpoints
        if state.global_step not in {round(state.max_steps * part / kept) for part in range(1, kept)}:
            return
        scratch = self._out / "step.partial"
        self._trainer.save_model(str(scratch))
        self._trainer.accelerator.wait_for_everyone()
        if args.should_save:
            lora = self._config.method == "lora"
            if not lora:
                complete_folder(scratch, self._student, self._config)
            place = self._out / f"{'adapter' if lora else 'step'}-{state.global_step:06d}"
            shutil.rmtree(place, ignore_errors=True)
            scratch.rename(place)
