"""Anyone's own table of golds and predictions, graded line by line by the rules of the benchmarks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cgd.errors import UserError
from cgd.grading import GradingItem, grade_many
from cgd.grading_kinds import infer_kind
from cgd.records import GradingRule
from cgd.text import encodable
from cgd.validation import validate

_AT_ONCE = 2000
"""Rows graded together: the first verdicts do not wait for the whole file."""


class Line(BaseModel):
    """One line of the table; other keys are passed over."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    gold: str | bool | int | float | list[Any]
    """The right answer."""
    prediction: str | None
    """What was answered; null is unscored."""
    kind: Literal["math", "choice", "boolean", "text", "list", "tolerance"] | None = None
    """How the two compare; inferred from the gold where absent."""
    tolerance: float | None = Field(None, ge=0)
    """Largest difference as a share of the gold; with it, `kind` is `tolerance` where absent."""

    def item(self) -> GradingItem:
        """What the grader takes. Strict is an answer in any marked form: no prompt asked for one of them."""
        gold = self.gold if isinstance(self.gold, str) else str(self.gold)
        kind = self.kind or ("tolerance" if self.tolerance is not None else infer_kind(gold))
        prediction = None if self.prediction is None else encodable(self.prediction)
        return GradingItem(prediction, encodable(gold), GradingRule(kind, "any", self.tolerance or 0.0))


def read_lines(lines: Sequence[str], name: str) -> list[GradingItem]:
    """Parse a table; blank lines are passed over.

    Args:
        lines: of the file, one JSON object each.
        name: of the file, for messages.

    Raises:
        UserError: a line is no JSON object, or a key is absent or of another type; with file and line number.
    """
    items = []
    for number, text in enumerate(lines, 1):
        if text.strip():
            where = f"{name}:{number}"
            items.append(validate(Line, _object(text, where), where).item())
    return items


def verdicts(items: Sequence[GradingItem]) -> Iterator[dict[str, Any]]:
    """One verdict an item, in order: `strict`, `flexible` (None = unscored), `extracted`, `reason`."""
    for start in range(0, len(items), _AT_ONCE):
        for grade in grade_many(items[start : start + _AT_ONCE]):
            yield {
                "strict": grade.strict,
                "flexible": grade.flexible,
                "extracted": grade.extracted,
                "reason": grade.reason,
            }


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{where}: each line must be a JSON object, got {type(value).__name__}")
    return value
