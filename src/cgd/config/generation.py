"""Where texts come from: prompts, engines, drafts, critiques, refinements, and what they may cost."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from cgd.config.base import Decoding, PositiveInt, Sampling, Section


def _require_temperature(n: int, temperature: float) -> None:
    if n > 1 and temperature == 0:
        raise ValueError("n > 1 needs temperature > 0: greedy samples would all be equal")


class DataConfig(Section):
    """Where the training prompts come from."""

    task: str
    """Task plug-in: a file name in `cgd/tasks`, or the dotted name of your own module."""
    n: PositiveInt | None = None
    """How many training prompts to take; all where absent."""
    options: dict[str, Any] = {}
    """The task's own keys."""


class Price(Section):
    """What a backend's tokens cost. Changes no text: it is no part of a reply's key."""

    input: float = Field(ge=0)
    """Currency for a million prompt tokens."""
    output: float = Field(ge=0)
    """Currency for a million new tokens."""

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Currency for so many tokens."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


class BudgetConfig(Section):
    """A hard cap on everything that the run generates: it stops, resumably, before a request that may not fit."""

    tokens: PositiveInt | None = None
    """Most tokens, prompts and replies together."""
    cost: float | None = Field(None, gt=0)
    """Most currency, by the `price` of `[student]` and `[teacher]`; a section without a price costs nothing."""


class BackendConfig(Section):
    """An engine that generates text, and the model it runs."""

    backend: str
    """Backend plug-in: a file name in `cgd/backends`, or the dotted name of your own module."""
    model: str | None = None
    """Built-in name, local folder, hub id, or the name a server knows; absent for backends without a model."""
    options: dict[str, Any] = {}
    """The backend's own keys."""
    price: Price | None = None
    """What its tokens cost, as `{ input = 0.5, output = 1.5 }`."""

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

    @property
    def revision(self) -> str | None:
        """Commit, tag or branch of a hub model: the backend's option, or that of the backend in a pool."""
        pooled = self.options.get("options", {})
        found = self.options.get("revision") or (pooled.get("revision") if isinstance(pooled, dict) else None)
        return None if found is None else str(found)


Truncated = Literal["keep", "drop", "retry"]


class GeneratedConfig(Decoding):
    """A generating stage: how it decodes, and what becomes of replies that were cut at `max_tokens`."""

    truncated: Truncated = "drop"
    """A reply cut at `max_tokens`: `keep` it as it is, `drop` its record, or `retry` once with `retry_max_tokens`."""
    retry_max_tokens: PositiveInt | None = None
    """Most new tokens of that second try, which is dropped when cut again; four times `max_tokens` where absent."""

    @property
    def longer(self) -> Sampling:
        """The sampling of the second try."""
        return self.sampling.model_copy(update={"max_tokens": self.retry_max_tokens or 4 * self.max_tokens})

    @model_validator(mode="after")
    def _second_try_is_longer(self) -> Self:
        if self.longer.max_tokens <= self.max_tokens:
            raise ValueError(f"retry_max_tokens must be more than max_tokens = {self.max_tokens}")
        return self


class DraftConfig(GeneratedConfig):
    """Drafts y' by the student, given x alone."""

    truncated: Truncated = "keep"
    """A draft cut at `max_tokens`: `keep` it (an honest mistake to criticise), `drop` its record, or `retry` once."""

    n: PositiveInt = 1
    """Drafts for each prompt."""

    @model_validator(mode="after")
    def _several_need_a_temperature(self) -> DraftConfig:
        _require_temperature(self.n, self.temperature)
        return self


class CritiqueConfig(GeneratedConfig):
    """Critiques c by the teacher, given (x, y')."""

    n: PositiveInt = 1
    """Critiques for each draft."""
    prompt: str | None = None
    """Your own Jinja2 prompt file, with `prompt` and `draft`; the packaged one where absent."""

    @model_validator(mode="after")
    def _several_need_a_temperature(self) -> CritiqueConfig:
        _require_temperature(self.n, self.temperature)
        return self


class RefinementConfig(GeneratedConfig):
    """Refinements ŷ by the teacher, given (x, y', c): one for each critique."""

    prompt: str | None = None
    """Your own Jinja2 prompt file, with `prompt`, `draft` and `critique`; the packaged one where absent."""
