"""Plain supervised fine-tuning on the task's own solutions."""

from __future__ import annotations

from cgd.config import Section
from cgd.records import Example, Record


class Options(Section):
    """Keys of `objective = "sft"`: none."""


class Objective:
    """x → y*."""

    needs = frozenset({"solution"})

    def example(self, record: Record) -> Example:
        """Context messages and target of one record."""
        assert record.prompt.solution is not None
        return Example(record.prompt.messages, record.prompt.solution)


def build(options: Options) -> Objective:
    """The objective."""
    return Objective()
