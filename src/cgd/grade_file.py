"""Anyone's own table of golds and predictions, graded line by line by the rules of the benchmarks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from cgd.errors import UserError
from cgd.grading import GradingItem, grade_many
from cgd.grading_finding import LONGEST_PREDICTION
from cgd.grading_kinds import infer_kind
from cgd.records import GradingRule
from cgd.text import encodable
from cgd.validation import validate

_AT_ONCE = 2000
"""Rows graded together: neither memory nor the first verdicts depend on the size of the file."""


class Line(BaseModel):
    """One line of the table; other keys are passed over."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    gold: str
    """The right answer: a text, a number, a truth value or a list."""
    prediction: str | None
    """What was answered; null is unscored."""
    kind: Literal["math", "choice", "boolean", "text", "list", "tolerance"] | None = None
    """How the two compare; inferred from the gold where absent."""
    tolerance: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Largest difference as a share of the gold; with it, `kind` is `tolerance` where absent."""

    @field_validator("gold", mode="before")
    @classmethod
    def _as_text(cls, gold: Any) -> str:
        if not isinstance(gold, str | bool | int | float | list):
            raise ValueError("must be a text, a number, true or false, or a list")
        return gold if isinstance(gold, str) else str(gold)

    def item(self) -> GradingItem:
        """What the grader takes. Strict is an answer in any marked form: no prompt asked for one of them."""
        kind = self.kind or ("tolerance" if self.tolerance is not None else infer_kind(self.gold))
        prediction = None if self.prediction is None else encodable(self.prediction[-LONGEST_PREDICTION:])
        return GradingItem(prediction, encodable(self.gold), GradingRule(kind, "any", self.tolerance or 0.0))


def verdicts(table: BinaryIO, name: str) -> Iterator[dict[str, Any]]:
    """One verdict a line, in order: `strict`, `flexible` (None = unscored), `extracted`, `reason`.

    The table is read twice, so that every line is known to be sound before the first verdict.

    Args:
        table: JSONL in UTF-8, which can be read again from its beginning; blank lines are passed over.
        name: of the file, for messages.

    Raises:
        UserError: a line is no JSON object, or a key is absent or of another type; with file and line number.
    """
    for _ in _items(table, name):
        pass
    table.seek(0)
    items = _items(table, name)
    while some := list(islice(items, _AT_ONCE)):
        for strict, flexible, _, extracted, reason in grade_many(some):
            yield {"strict": strict, "flexible": flexible, "extracted": extracted, "reason": reason}


def _items(table: BinaryIO, name: str) -> Iterator[GradingItem]:
    for number, line in enumerate(table, 1):  # ends at \n alone: other separators are legal inside JSON text
        text = line.decode("utf-8-sig" if number == 1 else "utf-8", errors="replace")
        if text.strip():
            where = f"{name}:{number}"
            yield validate(Line, _object(text, where), where).item()


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON: {error}; each line must be one JSON object") from None
    if not isinstance(value, dict):
        raise UserError(f"{where}: each line must be a JSON object, got {type(value).__name__}")
    return value
