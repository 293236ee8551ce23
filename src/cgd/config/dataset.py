"""Which records become training rows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cgd.config.base import Section

Fault = Literal[
    "answer_in_critique",
    "solution_in_critique",
    "meta_talk",
    "unspecific",
    "unchanged",
    "refinement_wrong",
    "verdict_wrong",
]


class ByGain(Section):
    """A share of the records, by the information gain of their critiques."""

    keep: float = Field(gt=0, le=1)
    """Share of the records that stays."""
    order: Literal["highest", "random", "lowest"] = "highest"
    """Those with the most gain, any, or those with the least."""


class DatasetConfig(Section):
    """Records of the first round that are left out of every arm, each listed under the first key that names it."""

    contaminated: Literal["keep", "drop"] = "keep"
    """Records whose prompt, critique or refinement shares thirteen words in a row with a test prompt; they are counted
    in the report in either case."""
    drop: tuple[Fault, ...] = ()
    """Leave out records in which an audit finds this: the critique states the reference answer, or a stretch of the
    solution; the refinement talks of its making; the critique names nothing of this draft; the refinement is the
    draft; the grader calls the refinement wrong; the critique's verdict on the draft is not the grader's."""
    min_gain: float | None = None
    """Leave out records whose critique has less information gain (nats a token, under the student before training);
    0 leaves out those that mislead."""
    by_gain: ByGain | None = None
    """Keep a share of what is left by then, as `{ keep = 0.5, order = "highest" }` (or `"lowest"`; `"random"` for
    comparison, for which nothing is scored)."""

    weight_by_gain: bool = False
    """Let a row's loss count in proportion to its gain, 1 on average; records without any gain are left out."""

    @property
    def needs_gains(self) -> bool:
        """Critiques are scored under the student before anything is trained."""
        by_gain = self.by_gain is not None and self.by_gain.order != "random"
        return self.min_gain is not None or by_gain or self.weight_by_gain
