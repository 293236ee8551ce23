"""Which generating stages a recipe needs, and what each of them asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from cgd.config import Recipe
from cgd.generation import answer, critique, draft, refine
from cgd.records import GeneratedStage, Record, Request

STAGES: tuple[GeneratedStage, ...] = get_args(GeneratedStage)


def is_needed(stage: GeneratedStage, needs: frozenset[str]) -> bool:
    """A stage runs where an arm reads its text, or one made from it; nothing is made from the teacher's own answer."""
    made_from_it = STAGES[STAGES.index(stage) : STAGES.index("teacher_answer")] or (stage,)
    return not needs.isdisjoint(made_from_it)


def requests(
    stage: GeneratedStage, records: Sequence[Record], recipe: Recipe, identity: Mapping[str, Any]
) -> list[Request]:
    """What a stage asks of the backend with this identity, given records as the stage before left them."""
    if stage == "draft":
        return draft.requests([record.prompt for record in records], recipe.draft, identity, recipe.seed)
    if stage == "critique":
        return critique.requests(records, recipe.critique, identity, recipe.seed)
    if stage == "refinement":
        return refine.requests(records, recipe.refinement, identity, recipe.seed)
    return answer.requests(records, recipe.teacher_answer, identity, recipe.seed)
