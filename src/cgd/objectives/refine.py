"""Ablation of CGD: refinement without a critique."""

from __future__ import annotations

from cgd.config import Section
from cgd.prompts import student_context
from cgd.records import Example, Record


class Options(Section):
    """Keys of `objective = "refine"`: none."""


class Objective:
    """(x, y') → ŷ."""

    needs = frozenset({"refinement"})

    def example(self, record: Record) -> Example:
        """Context messages and target of one record."""
        assert record.refinement is not None
        context = student_context(record.prompt.messages, wanted="refinement", draft=record.draft)
        return Example(context, record.refinement)


def build(options: Options) -> Objective:
    """The objective."""
    return Objective()
