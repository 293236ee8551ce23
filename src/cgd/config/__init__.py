"""The recipe as frozen pydantic models: what may stand in it, and what it means. No engine is imported here."""

from cgd.config.base import Decoding, Name, PositiveInt, Sampling, Section
from cgd.config.dataset import DatasetConfig
from cgd.config.evaluation import (
    EvaluationConfig,
    EvaluationTaskConfig,
    HarnessTaskConfig,
    ReportConfig,
    SelfRefineConfig,
)
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
    Truncated,
)
from cgd.config.recipe import Recipe
from cgd.config.training import ArmConfig, ContextDropoutConfig, TrainingConfig

__all__ = [
    "ArmConfig",
    "BackendConfig",
    "BudgetConfig",
    "ContextDropoutConfig",
    "CritiqueConfig",
    "DataConfig",
    "DatasetConfig",
    "Decoding",
    "DraftConfig",
    "EvaluationConfig",
    "EvaluationTaskConfig",
    "GeneratedConfig",
    "HarnessTaskConfig",
    "Name",
    "PositiveInt",
    "Price",
    "Recipe",
    "RefinementConfig",
    "ReportConfig",
    "Sampling",
    "Section",
    "SelfRefineConfig",
    "StudentConfig",
    "TrainingConfig",
    "Truncated",
]
