"""The recipe as frozen pydantic models: what may stand in it, and what it means. No engine is imported here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError, model_validator

from cgd.errors import UserError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
PositiveInt = Annotated[int, Field(ge=1, strict=True)]
Model = TypeVar("Model", bound=BaseModel)


def _require_distinct(what: str, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{what} must differ; repeated: {', '.join(repeated)}")


def _require_temperature(n: int, temperature: float) -> None:
    if n > 1 and temperature == 0:
        raise ValueError("n > 1 needs temperature > 0: greedy samples would all be equal")


class Section(BaseModel):
    """A part of the recipe: immutable, unknown keys rejected, docstrings are the reference."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Sampling(Section):
    """How a text is decoded."""

    max_tokens: PositiveInt = 512
    """Most new tokens of one reply."""
    temperature: float = Field(0.0, ge=0)
    """0 decodes greedily; above 0 samples."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus: sample from the smallest set of tokens with at least this probability."""


class DataConfig(Section):
    """Where the training prompts come from."""

    task: str
    """Task plug-in: a file name in `cgd/tasks`, or the dotted name of your own module."""
    n: PositiveInt | None = None
    """How many training prompts to take; all where absent."""
    options: dict[str, Any] = {}
    """The task's own keys."""


class BackendConfig(Section):
    """An engine that generates text, and the model it runs."""

    backend: str
    """Backend plug-in: a file name in `cgd/backends`, or the dotted name of your own module."""
    model: str | None = None
    """Built-in name, local folder, hub id, or the name a server knows; absent for backends without a model."""
    options: dict[str, Any] = {}
    """The backend's own keys."""

    @property
    def plugin_options(self) -> dict[str, Any]:
        """The options as the plug-in takes them, the model among them."""
        return self.options if self.model is None else {"model": self.model, **self.options}


class StudentConfig(BackendConfig):
    """The model that drafts and is then fine-tuned."""

    backend: str = "hf"
    """Backend that runs the student for drafts."""
    model: str
    """Built-in name (`smollm2-135m-instruct`), local folder with safetensors, or hub id."""


class Decoding(Sampling):
    """A section of the recipe that decodes texts: the sampling options, and keys of its own."""

    @property
    def sampling(self) -> Sampling:
        """The sampling options alone: the part that goes into a reply's key."""
        return Sampling(max_tokens=self.max_tokens, temperature=self.temperature, top_p=self.top_p)


class DraftConfig(Decoding):
    """Drafts y' by the student, given x alone."""

    n: PositiveInt = 1
    """Drafts for each prompt."""

    @model_validator(mode="after")
    def _several_need_a_temperature(self) -> DraftConfig:
        _require_temperature(self.n, self.temperature)
        return self


class CritiqueConfig(Decoding):
    """Critiques c by the teacher, given (x, y')."""

    n: PositiveInt = 1
    """Critiques for each draft."""
    prompt: str | None = None
    """Your own Jinja2 prompt file, with `prompt` and `draft`; the packaged one where absent."""

    @model_validator(mode="after")
    def _several_need_a_temperature(self) -> CritiqueConfig:
        _require_temperature(self.n, self.temperature)
        return self


class RefinementConfig(Decoding):
    """Refinements ŷ by the teacher, given (x, y', c): one for each critique."""

    prompt: str | None = None
    """Your own Jinja2 prompt file, with `prompt`, `draft` and `critique`; the packaged one where absent."""


class ArmConfig(Section):
    """One trained student: an objective and its name in tables and folders."""

    name: Name
    """Name of the arm; `base` is taken by the untrained student."""
    objective: str
    """Objective plug-in: `cgd`, `sft`, `distilled_sft`, `cft`, `refine`, or the dotted name of your own module."""
    options: dict[str, Any] = {}
    """The objective's own keys."""


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
    """Rows of one forward pass on one device; the batch size where absent. Changes memory, not the result."""
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

    @model_validator(mode="after")
    def _batches_divide(self) -> TrainingConfig:
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(f"batch_size {self.batch_size} is no multiple of micro_batch_size {self.micro_batch_size}")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must be different numbers, at least one; got {list(self.seeds)}")
        return self


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
        _require_distinct("evaluation task names", [task.label for task in self.tasks])
        return self


class ReportConfig(Section):
    """What the report shows."""

    examples: int = Field(10, ge=0, strict=True)
    """Example records printed in full."""


class Recipe(Section):
    """A whole run."""

    name: Name
    """Name of the run: its folder is `runs/<name>`; the recipe file's stem where absent."""
    seed: StrictInt = 0
    """Seed of data choice and generation."""
    max_failed_share: float = Field(0.1, ge=0, le=1)
    """A stage stops the run, resumably, where more than this share of its rows failed."""
    data: DataConfig
    student: StudentConfig
    teacher: BackendConfig | None = None
    draft: DraftConfig = DraftConfig()
    critique: CritiqueConfig = CritiqueConfig()
    refinement: RefinementConfig = RefinementConfig()
    arms: tuple[ArmConfig, ...]
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _arms_can_be_told_apart(self) -> Recipe:
        if not self.arms:
            raise ValueError("a recipe needs at least one [[arms]] section")
        _require_distinct("arm names (`base` is the untrained student)", ["base", *(arm.name for arm in self.arms)])
        return self

    @property
    def checkpoint_backend(self) -> tuple[str, dict[str, Any]]:
        """Backend name and options that run a checkpoint at evaluation, without the model."""
        options = self.evaluation.options
        same = self.evaluation.backend in (None, self.student.backend)
        inherited = self.student.options if same else {}
        return self.evaluation.backend or self.student.backend, inherited if options is None else options


def validate(model: type[Model], values: Mapping[str, Any], where: str) -> Model:
    """Validate `values`, turning pydantic's account into one message for the user.

    Raises:
        UserError: with every problem on a line of its own, and a hint for a misspelt key.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_explain(model, problem) for problem in error.errors(include_url=False)]
        raise UserError("\n".join([f"{where} is not valid:", *(f"  {line}" for line in lines)])) from None


def _explain(model: type[BaseModel], problem: Mapping[str, Any]) -> str:
    location = [part for part in problem["loc"] if part != "function-after"]
    path = ".".join(str(part) for part in location) or "recipe"
    if problem["type"] == "extra_forbidden":
        known = list(_fields_at(model, location[:-1]))
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(known) or 'none'}"
        return f"{path}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{path}: required, but absent"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{path}: {message}" + ("" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})")


def _fields_at(model: type[BaseModel], location: Sequence[str | int]) -> Mapping[str, Any]:
    """Fields of the model that stands at `location` below `model`."""
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        candidates = [annotation, *get_args(annotation)]
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return model.model_fields
