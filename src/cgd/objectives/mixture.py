"""Several objectives in one arm: each record is seen as one of them, drawn at the stated ratio.

The draw follows the record, so an arm has as many rows as any other, and a rerun draws the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Annotated

from pydantic import Field

from cgd.config import Section
from cgd.plugins import Objective as SingleObjective
from cgd.plugins import build_objective
from cgd.records import Example, Record, content_hash


class Options(Section):
    """Keys of `objective = "mixture"`."""

    parts: Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=2)]
    """Objectives and their shares, as `{ cgd = 1, distilled_sft = 1 }`; they need not add up to 1."""


class Objective:
    """One of several objectives, by record."""

    def __init__(self, parts: Mapping[str, float]) -> None:
        """Build the parts, with their default options."""
        self._objectives: list[SingleObjective] = [build_objective(name, {}) for name in parts]
        self._bounds = [bound / sum(parts.values()) for bound in accumulate(parts.values())]

    @property
    def needs(self) -> frozenset[str]:
        """What any part needs, so that every record can be seen as any of them."""
        return frozenset[str]().union(*(objective.needs for objective in self._objectives))

    def example(self, record: Record) -> Example:
        """Context messages and target of one record."""
        draw = int(content_hash(["mixture", record.prompt.id, record.key])[:12], 16) / 16**12  # uniform in [0, 1)
        part = next(i for i, bound in enumerate(self._bounds) if draw < bound or bound == self._bounds[-1])
        return self._objectives[part].example(record)


def build(options: Options) -> Objective:
    """The objective."""
    return Objective(options.parts)
