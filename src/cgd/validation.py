"""Validating what a user wrote, with every problem in one message."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from cgd.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


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
