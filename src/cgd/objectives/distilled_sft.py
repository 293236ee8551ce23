"""Distillation without critique: the teacher's texts as plain answers."""

from __future__ import annotations

from typing import Literal

from cgd.config import Section
from cgd.records import Example, Record


class Options(Section):
    """Keys of `objective = "distilled_sft"`."""

    target: Literal["refinement", "teacher_answer"] = "refinement"
    """The refinement ŷ, or the teacher's own answer to the prompt alone, which is then generated as well."""


class Objective:
    """x → ŷ, or x → the teacher's answer to x."""

    def __init__(self, target: Literal["refinement", "teacher_answer"]) -> None:
        """Remember the target."""
        self._target = target

    @property
    def needs(self) -> frozenset[str]:
        """The target."""
        return frozenset({self._target})

    def example(self, record: Record) -> Example:
        """Context messages and target of one record."""
        target = record.refinement if self._target == "refinement" else record.teacher_answer
        assert target is not None
        return Example(record.prompt.messages, target)


def build(options: Options) -> Objective:
    """The objective."""
    return Objective(options.target)
