"""A whole recipe."""

from __future__ import annotations

from typing import Any

from pydantic import Field, StrictInt, model_validator

from cgd.config.base import Name, Section, require_distinct
from cgd.config.dataset import DatasetConfig
from cgd.config.evaluation import EvaluationConfig, ReportConfig
from cgd.config.generation import (
    BackendConfig,
    BudgetConfig,
    CritiqueConfig,
    DataConfig,
    DraftConfig,
    GeneratedConfig,
    Price,
    RefinementConfig,
    StudentConfig,
)
from cgd.config.training import ArmConfig, ContextDropoutConfig, TrainingConfig


class Recipe(Section):
    """A whole run."""

    name: Name
    """Name of the run: its folder is `runs/<name>`; the recipe file's stem where absent."""
    seed: StrictInt = 0
    """Seed of data choice and generation."""
    max_failed_share: float = Field(0.1, ge=0, le=1)
    """A stage stops the run, resumably, where more than this share of its rows failed."""
    budget: BudgetConfig = BudgetConfig()
    data: DataConfig
    student: StudentConfig
    teacher: BackendConfig | None = None
    draft: DraftConfig = DraftConfig()
    critique: CritiqueConfig = CritiqueConfig()
    refinement: RefinementConfig = RefinementConfig()
    teacher_answer: GeneratedConfig = GeneratedConfig()
    dataset: DatasetConfig = DatasetConfig()
    arms: tuple[ArmConfig, ...]
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _arms_can_be_told_apart(self) -> Recipe:
        require_distinct("arm names (`base` is the untrained student)", ["base", *(arm.name for arm in self.arms)])
        return self

    @model_validator(mode="after")
    def _a_cost_has_a_price(self) -> Recipe:
        if self.budget.cost is not None and not any(s and s.price for s in (self.student, self.teacher)):
            raise ValueError(
                "budget.cost needs the price of [student] or [teacher]: price = { input = .., output = .. }"
            )
        return self

    @property
    def generated(self) -> dict[str, GeneratedConfig]:
        """The generating stages' sections by stage."""
        return {
            "draft": self.draft,
            "critique": self.critique,
            "refinement": self.refinement,
            "teacher_answer": self.teacher_answer,
        }

    @property
    def dropouts(self) -> dict[str, ContextDropoutConfig]:
        """Context dropout by arm, where it has one."""
        return {arm.name: arm.context_dropout for arm in self.arms if arm.context_dropout}

    @property
    def checkpoint_backend(self) -> tuple[str, dict[str, Any]]:
        """Backend name and options that run a checkpoint at evaluation, without the model."""
        options = self.evaluation.options
        same = self.evaluation.backend in (None, self.student.backend)
        inherited = self.student.options if same else {}
        return self.evaluation.backend or self.student.backend, inherited if options is None else options

    @property
    def checkpoint_price(self) -> Price | None:
        """What a checkpoint's tokens cost: the student's price where evaluation runs on the student's own backend."""
        return self.student.price if self.evaluation.backend is None else None
