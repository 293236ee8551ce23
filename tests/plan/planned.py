"""Plans of changed recipes, by their rows."""

from __future__ import annotations

from pathlib import Path

from cgd.config import Recipe
from cgd.plan.numbers import Plan, Row
from cgd.recipe import load_recipe


def recipe_with(recipe_file: Path, *overrides: str) -> Recipe:
    return load_recipe([recipe_file], overrides)


def by_name(plan: Plan) -> dict[str, Row]:
    return {f"{row.stage} {row.name}".strip(): row for row in plan.rows}
