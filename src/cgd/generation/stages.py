"""Which generating stages a recipe needs, and what each of them asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cgd.config import Recipe
from cgd.generation import critique, draft, refine
from cgd.generation.collect import GeneratedStage
from cgd.records import Record, Request

STAGES: tuple[GeneratedStage, ...] = ("draft", "critique", "refinement")


def is_needed(stage: GeneratedStage, needs: frozenset[str]) -> bool:
    """A stage runs where an arm reads its text, or one made from it."""
    return not needs.isdisjoint(STAGES[STAGES.index(stage) :])


def requests(
    stage: GeneratedStage, records: Sequence[Record], recipe: Recipe, identity: Mapping[str, Any]
) -> list[Request]:
    """What a stage asks of the backend with this identity, given records as the stage before left them."""
    if stage == "draft":
        return draft.requests([record.prompt for record in records], recipe.draft, identity, recipe.seed)
    if stage == "critique":
        return critique.requests(records, recipe.critique, identity, recipe.seed)
    return refine.requests(records, recipe.refinement, identity, recipe.seed)
