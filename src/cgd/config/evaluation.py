"""Benchmarks, and what the report shows."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from cgd.config.base import Decoding, Name, PositiveInt, Section, require_distinct


class EvaluationTaskConfig(Section):
    """One benchmark: a task's test split."""

    task: str
    """Task plug-in."""
    name: Name | None = None
    """Name in tables; the task's where absent."""
    n: PositiveInt | None = None
    """How many test prompts to take; all where absent."""
    options: dict[str, Any] = {}
    """The task's own keys."""

    @property
    def label(self) -> str:
        """The name under which results appear."""
        return self.name or self.task.rpartition(".")[2]


class EvaluationConfig(Decoding):
    """Evaluation of the base student and every arm, given x alone."""

    backend: str | None = None
    """Backend that runs checkpoints; the student's where absent."""
    options: dict[str, Any] | None = None
    """Its options; the student's where absent."""
    tasks: tuple[EvaluationTaskConfig, ...] = ()
    """Benchmarks; the first one is the headline."""

    @model_validator(mode="after")
    def _names_differ(self) -> EvaluationConfig:
        require_distinct("evaluation task names", [task.label for task in self.tasks])
        return self


class ReportConfig(Section):
    """What the report shows."""

    examples: int = Field(10, ge=0, strict=True)
    """Example records printed in full."""
