"""Arms and how they are fine-tuned."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, StrictBool, StrictInt, model_validator

from cgd.config.base import Name, PositiveInt, Section


class ContextDropoutConfig(Section):
    """Rows that lose part of their context, so that the student also learns to do without it, as at inference."""

    p: float = Field(gt=0, le=1)
    """Share of the rows that lose it (where `anneal` is set: at that end of the training)."""
    drop: Literal["critique", "draft_and_critique"] = "draft_and_critique"
    """What they lose."""
    anneal: Literal["rising", "falling"] | None = None
    """Let the share rise from 0 to `p`, or fall from `p` to 0, linearly over the training; constant where absent."""


class Corruption(Section):
    """Critiques that are made wrong by rule, in a share of the rows."""

    p: float = Field(gt=0, le=1)
    """Chance of each row; the rows of a smaller p are among those of a larger one."""
    kind: Literal["verdict", "step", "value", "any"] = "any"
    """What is wrong in them: the verdict on the draft, the steps that they name, a number, or whichever can be."""


class ArmConfig(Section):
    """One trained student: an objective and its name in tables and folders."""

    name: Name
    """Name of the arm; `base` is taken by the untrained student."""
    objective: str
    """Objective plug-in: `cgd`, `refine`, `distilled_sft`, `sft`, `cft`, `mixture`, or the dotted name of your own."""
    options: dict[str, Any] = {}
    """The objective's own keys."""
    context_dropout: ContextDropoutConfig | None = None
    """Train some rows without critique, or without draft and critique."""
    critique: Literal["own", "none", "shuffled", "placeholder", "answer_only", "other_draft"] = "own"
    """The critique in the context, where another takes its place as a control (the target stays): none, another
    prompt's, a sentence that fits any draft, the bare reference answer, or that of another draft of the same prompt."""
    corrupt: Corruption | None = None
    """Make the record's own critique wrong in a share of the rows, as `{ p = 0.3, kind = "verdict" }` (or `"step"`,
    `"value"`, `"any"`); what holds nothing of the kind stays as it is, and is counted."""
    rounds: PositiveInt = 1
    """Above 1: the trained student drafts again, the teacher criticises and refines again, and the training goes on
    from its checkpoint, so many times in all."""

    @model_validator(mode="after")
    def _only_an_own_critique_is_corrupted(self) -> ArmConfig:
        if self.corrupt and self.critique != "own":
            raise ValueError(f'corrupt changes the record\'s own critique; got critique = "{self.critique}" beside it')
        return self


class TrainingConfig(Section):
    """Fine-tuning, shared by all arms so that they stay comparable."""

    method: Literal["full", "lora"] = "full"
    """Update all weights, or a low-rank adapter that is merged into the saved checkpoint."""
    epochs: float = Field(1.0, gt=0)
    """Passes over the training rows; ignored where `steps` is set."""
    steps: PositiveInt | None = None
    """Optimizer steps, instead of epochs."""
    batch_size: PositiveInt = 8
    """Rows of one optimizer step, over all devices."""
    micro_batch_size: PositiveInt | None = None
    """Most rows of one forward pass on one device; as many as are quick where absent. Changes memory, no result."""
    learning_rate: float = Field(1e-4, gt=0)
    """Peak learning rate of AdamW."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Course of the learning rate after warm-up."""
    warmup_ratio: float = Field(0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW weight decay."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are clipped to this norm."""
    seeds: tuple[StrictInt, ...] = (0,)
    """One student is trained for each arm and seed."""
    match: Literal["rows", "tokens"] = "rows"
    """What arms have in common: rows, order and steps; or the number of tokens read, so that an arm with longer rows
    stops earlier."""
    max_length: PositiveInt = 2048
    """Longest row in tokens, context and target; longer rows are left out, never cut."""
    max_overlength_share: float = Field(0.05, ge=0, le=1)
    """Training is refused where a larger share of rows is longer than `max_length`."""
    lora_rank: PositiveInt = 16
    """Rank of the adapter (`method = "lora"`)."""
    lora_alpha: PositiveInt = 32
    """Scale of the adapter (`method = "lora"`)."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of training; bfloat16 wants a GPU that has it."""
    gradient_checkpointing: StrictBool = False
    """Trade time for memory."""
    attention: Literal["auto", "sdpa", "flash_attention_2", "eager"] = "auto"
    """Attention kernel; `auto` is flash attention where it is installed (GPU, bfloat16), else PyTorch's own. Under
    `eager` rows go through the model one by one, for architectures that can't keep packed rows apart."""
    save_steps: PositiveInt | None = None
    """Optimizer steps between states from which a killed training goes on; a fifth of the training where absent."""
    keep_checkpoints: PositiveInt = 1
    """Complete checkpoints to keep of each training, evenly spaced, the last one among them."""
    select: Literal["last", "held_out"] = "last"
    """Which kept checkpoint is evaluated: the last, or the best on training prompts that are held out for it."""
    held_out: PositiveInt = 50
    """Prompts to hold out (`select = "held_out"`): the next ones of the training split, used for nothing else."""
    report_to: tuple[str, ...] = ()
    """Trackers that the trainer reports to as well: `trackio`, `tensorboard`, `wandb`, `mlflow`."""

    @model_validator(mode="after")
    def _batches_divide(self) -> TrainingConfig:
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(f"batch_size {self.batch_size} is no multiple of micro_batch_size {self.micro_batch_size}")
        if self.select == "held_out" and self.keep_checkpoints < 2:
            raise ValueError('select = "held_out" needs keep_checkpoints of 2 or more to choose from')
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must be different numbers, at least one; got {list(self.seeds)}")
        return self
