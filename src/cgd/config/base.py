"""What all sections share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]

PositiveInt = Annotated[int, Field(ge=1, strict=True)]


def require_distinct(what: str, names: Sequence[str]) -> None:
    """Raise ValueError where a name occurs twice."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{what} must differ; repeated: {', '.join(repeated)}")


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


class Decoding(Sampling):
    """A section of the recipe that decodes texts: the sampling options, and keys of its own."""

    @property
    def sampling(self) -> Sampling:
        """The sampling options alone: the part that goes into a reply's key."""
        return Sampling(max_tokens=self.max_tokens, temperature=self.temperature, top_p=self.top_p)
