"""Distillation without critique: the teacher's refinements as plain answers."""

from __future__ import annotations

from cgd.config import Section
from cgd.records import Example, Record


class Options(Section):
    """Keys of `objective = "distilled_sft"`: none."""


class Objective:
    """x → ŷ."""

    needs = frozenset({"refinement"})

    def example(self, record: Record) -> Example:
        """Context messages and target of one record."""
        assert record.refinement is not None
        return Example(record.prompt.messages, record.refinement)


def build(options: Options) -> Objective:
    """The objective."""
    return Objective()
