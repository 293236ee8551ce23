"""Critique fine-tuning (arXiv 2501.17703): the student learns to criticise."""

from __future__ import annotations

from cgd.config import Section
from cgd.prompts import student_context
from cgd.records import Example, Record


class Options(Section):
    """Keys of `objective = "cft"`: none."""


class Objective:
    """(x, y') → c."""

    needs = frozenset({"critique"})

    def example(self, record: Record) -> Example:
        """Context messages and target of one record."""
        assert record.critique is not None
        return Example(student_context(record.prompt.messages, wanted="critique", draft=record.draft), record.critique)


def build(options: Options) -> Objective:
    """The objective."""
    return Objective()
