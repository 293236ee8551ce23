"""The figures of a plan: what is there, what is expected, what it can come to at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan, nan
from typing import Any, NamedTuple

from cgd.config import BudgetConfig, Price


class Counted(NamedTuple):
    """Requests (or training rows) and their tokens; NaN where nothing says yet, which spreads through sums."""

    requests: float
    prompt_tokens: float
    new_tokens: float

    @property
    def tokens(self) -> float:
        """Prompt and new tokens together."""
        return self.prompt_tokens + self.new_tokens

    def cost(self, price: Price | None) -> float:
        """Currency; nothing without a price."""
        return (self.prompt_tokens * price.input + self.new_tokens * price.output) / 1e6 if price else 0.0

    def minus(self, other: Counted) -> Counted:
        """What is left of this when that is done, never less than nothing."""
        return Counted(*(max(whole - done, 0.0) for whole, done in zip(self, other, strict=True)))

    def plus(self, other: Counted) -> Counted:
        """Both together."""
        return Counted(*(one + another for one, another in zip(self, other, strict=True)))

    def as_json(self, price: Price | None = None) -> dict[str, float | None]:
        """Whole numbers, and the cost."""
        whole = {name: None if isnan(value) else round(value) for name, value in self._asdict().items()}
        return whole | {"cost": known(self.cost(price))}


def known(value: float) -> float | None:
    """A number for JSON; None where it is not known."""
    return None if isnan(value) else value


NOTHING = Counted(0, 0, 0)
UNKNOWN = Counted(nan, nan, nan)


class Rate(NamedTuple):
    """Seconds that units of work take: `fixed_s` once (weights loaded), `each_s` a request or an optimizer step."""

    fixed_s: float
    each_s: float
    n: int
    """Units that it was measured on."""

    def seconds(self, units: float, starts: int = 1) -> float:
        """Seconds of so many units."""
        return starts * self.fixed_s + units * self.each_s if units else 0.0


class Row(NamedTuple):
    """One line of the plan, for the whole run; `requests` of a training are its rows, its tokens those of one pass."""

    stage: str
    """A stage of the run, such as draft, training, selection, evaluation or self_refinement."""
    name: str
    """Arm of a training, task of a selection or an evaluation, arm and number of a later round."""
    stored: Counted
    """What the run folder holds."""
    expected: Counted
    """By the means of what is stored; exact once everything is."""
    at_most: Counted
    """As if every text were as long as its `max_tokens` allow."""
    price: Price | None = None
    rate: Rate | None = None
    steps: int = 0
    """Optimizer steps of a training, over all seeds."""
    done: float = 0.0
    """Share of a training's seeds that are trained."""
    starts: int = 1
    """How often weights are loaded: trainings, or models evaluated."""

    @property
    def left(self) -> tuple[Counted, Counted]:
        """Expected, and at most, of what is not stored yet; trainings spend no tokens."""
        if self.stage == "training":
            return NOTHING, NOTHING
        return self.expected.minus(self.stored), self.at_most.minus(self.stored)

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Seconds of the whole stage and of what is left; None where nothing was measured."""
        if self.rate is None:
            return None
        if self.stage == "training":
            seconds = self.rate.seconds(self.steps, self.starts)
            return seconds, seconds * (1 - self.done)
        unknown = isnan(self.expected.requests)
        whole, left = (self.at_most if unknown else self.expected), self.left[unknown]
        return self.rate.seconds(whole.requests, self.starts), self.rate.seconds(left.requests, self.starts)


class OverLength(NamedTuple):
    """Share of training rows longer than `training.max_length`."""

    share: float
    interval: tuple[float, float]
    """95%; the share itself where all rows were looked at."""
    n: int
    """Rows looked at."""
    real: bool
    """Rows of real records, not prompts with texts as long as `max_tokens` allow."""


class Plan(NamedTuple):
    """What a run will need."""

    name: str
    rows: Sequence[Row]
    over_length: OverLength
    allowed_over_length: float
    max_length: int
    budget: BudgetConfig
    spent_tokens: int
    spent_cost: float
    peak_gib: Mapping[str, float]
    """Peak memory of `generation` and of `training`, where it was measured."""
    notes: Sequence[str]

    def end(self, unit: str) -> tuple[float, float]:
        """What the run will have spent in the end, expected and at most, in `tokens` or `cost`."""
        spent = self.spent_tokens if unit == "tokens" else self.spent_cost

        def left(row: Row, which: int) -> float:
            counted = row.left[which]
            return counted.tokens if unit == "tokens" else counted.cost(row.price)

        return spent + sum(left(row, 0) for row in self.rows), spent + sum(left(row, 1) for row in self.rows)

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Seconds of the whole run and of what is left; None while a stage is unknown."""
        parts = [row.seconds for row in self.rows]
        measured = [part for part in parts if part is not None]
        if len(measured) < len(parts):
            return None
        return sum(part[0] for part in measured), sum(part[1] for part in measured)

    def as_json(self) -> dict[str, Any]:
        """The plan for scripts; README names the keys."""
        return {
            "name": self.name,
            "stages": [_row_as_json(row) for row in self.rows],
            "over_length": self.over_length._asdict()
            | {"max_length": self.max_length, "max_overlength_share": self.allowed_over_length},
            "budget": {
                unit: {
                    "cap": getattr(self.budget, unit),
                    "spent": self.spent_tokens if unit == "tokens" else self.spent_cost,
                    "expected": known(self.end(unit)[0]),
                    "at_most": known(self.end(unit)[1]),
                }
                for unit in ("tokens", "cost")
            },
            "seconds": self.seconds[0] if self.seconds else None,
            "seconds_left": self.seconds[1] if self.seconds else None,
            "peak_gib": dict(self.peak_gib),
            "notes": list(self.notes),
        }


def _row_as_json(row: Row) -> dict[str, Any]:
    return {
        "stage": row.stage,
        "name": row.name,
        "stored": row.stored.as_json(row.price),
        "expected": row.expected.as_json(row.price),
        "at_most": row.at_most.as_json(row.price),
        "steps": row.steps,
        "seconds": row.seconds[0] if row.seconds else None,
        "seconds_left": row.seconds[1] if row.seconds else None,
        "measured_on": row.rate.n if row.rate else 0,
    }
