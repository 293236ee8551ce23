"""Benchmarks, and what the report shows."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from cgd.config.base import Decoding, Name, PositiveInt, Sampling, Section, require_distinct


class Answers(NamedTuple):
    """How a benchmark's prompts are answered."""

    sampling: Sampling
    samples: int


class EvaluationTaskConfig(Section):
    """One benchmark: a task's test split."""

    task: str
    """Task plug-in."""
    name: Name | None = None
    """Name in tables; the task's where absent."""
    n: PositiveInt | None = None
    """How many test prompts to take; all where absent."""
    samples: PositiveInt | None = None
    """Answers to each prompt; `evaluation.samples` where absent. The same for the next three."""
    max_tokens: PositiveInt | None = None
    """Most new tokens of one answer."""
    temperature: float | None = Field(None, ge=0)
    """0 decodes greedily; above 0 samples."""
    top_p: float | None = Field(None, gt=0, le=1)
    """Nucleus to sample from."""
    options: dict[str, Any] = {}
    """The task's own keys."""

    @property
    def label(self) -> str:
        """The name under which results appear."""
        return self.name or self.task.rpartition(".")[2]


class SelfRefineConfig(Section):
    """The student improves its own answers at inference: a critique and a refinement a round.

    What it reaches and what it spends stand beside the answers given at once.
    """

    rounds: PositiveInt = 1
    """Critique and refinement, so many times in a row."""
    critic: Literal["student", "teacher"] = "student"
    """Who writes the critiques."""


class HarnessTaskConfig(Section):
    """A task of lm-evaluation-harness, run on the base student and every selected checkpoint (extra `eval`)."""

    name: str
    """Task or group as the harness names it: `ifeval`, `mmlu_pro`, ..."""
    data: str | None = None
    """JSONL in place of the hub's rows (`ifeval`, `mmlu_pro` and its subjects); `$NAME` is an environment variable."""
    num_fewshot: int | None = Field(None, ge=0)
    """Examples before each question; the task's own number where absent."""
    max_tokens: PositiveInt | None = None
    """Most new tokens of an answer; the task's own number where absent."""
    limit: PositiveInt | None = None
    """The first so many questions (of a group: of each of its tasks); all where absent."""


class EvaluationConfig(Decoding):
    """Evaluation of the base student and every arm, given x alone."""

    backend: str | None = None
    """Backend that runs checkpoints; the student's where absent."""
    options: dict[str, Any] | None = None
    """Its options; the student's where absent."""
    tasks: tuple[EvaluationTaskConfig, ...] = ()
    """Benchmarks; the first one is the headline."""
    samples: PositiveInt = 1
    """Answers to each prompt; above 1 the report has pass@k, maj@k and how far answers agree."""
    checkpoints: Literal["last", "kept"] = "last"
    """Evaluate the selected checkpoint of each training, or also those kept along the way, for curves of drift."""
    self_refine: SelfRefineConfig | None = None
    """Also let every student refine its own answers."""
    harness: tuple[HarnessTaskConfig, ...] = ()
    """Standard benchmarks that lm-evaluation-harness runs."""

    @model_validator(mode="after")
    def _tasks_can_be_answered(self) -> EvaluationConfig:
        require_distinct("evaluation task names", [task.label for task in self.tasks])
        require_distinct("evaluation.harness names", [task.name for task in self.harness])
        for label in (None, *(task.label for task in self.tasks)):
            sampling, samples = self.answers(label)
            if samples > 1 and sampling.temperature == 0:
                where = f"evaluation task {label!r}" if label else "evaluation"
                raise ValueError(f"{where}: {samples} samples at temperature 0 are {samples} times the same text")
        return self

    def answers(self, label: str | None = None) -> Answers:
        """How the prompts of a benchmark are answered; the section's own way without one."""
        task = next((task for task in self.tasks if task.label == label), None)
        given = task.model_dump(include={"max_tokens", "temperature", "top_p"}, exclude_none=True) if task else {}
        samples = task.samples if task and task.samples else self.samples
        return Answers(Sampling(**self.sampling.model_dump() | given), samples)


class ReportConfig(Section):
    """What the report shows."""

    examples: int = Field(10, ge=0, strict=True)
    """Example records printed in full."""
