"""Critique-guided distillation (arXiv 2505.11628): loss on the refinement, given prompt, draft and critique."""

from __future__ import annotations

from cgd.config import Section
from cgd.prompts import student_context
from cgd.records import Example, Record


class Options(Section):
    """Keys of `objective = "cgd"`: none."""


class Objective:
    """(x, y', c) → ŷ: L(θ) = E[−log S_θ(ŷ | x, y', c)], mean over target tokens."""

    needs = frozenset({"refinement"})

    def example(self, record: Record) -> Example:
        """Context messages and target of one record."""
        assert record.refinement is not None
        context = student_context(
            record.prompt.messages, wanted="refinement", draft=record.draft, critique=record.critique
        )
        return Example(context, record.refinement)


def build(options: Options) -> Objective:
    """The objective."""
    return Objective()
