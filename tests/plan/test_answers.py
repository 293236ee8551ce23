"""Run with: pytest tests/plan/test_answers.py. Kept checkpoints in a plan, held against a real tiny run."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgd import pipeline
from cgd.config import Recipe
from cgd.plan import make_plan
from cgd.plan.numbers import NOTHING, Plan
from tests.plan.planned import by_name, recipe_with

KEPT = ["training.keep_checkpoints=2", 'training.select="held_out"', "training.held_out=3"]


@pytest.fixture(scope="module")
def recipe(recipe_file: Path) -> Recipe:
    return recipe_with(recipe_file, *KEPT, 'evaluation.checkpoints="kept"', "training.seeds=[0, 1]")


@pytest.fixture(scope="module")
def plans(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Plan]:
    """Of the recipe before and after its run."""
    runs = tmp_path_factory.mktemp("runs")
    before = make_plan(recipe, runs)
    pipeline.run(recipe, runs)
    return before, make_plan(recipe, runs)


def test_kept_checkpoints_answer_held_out_prompts_and_the_benchmark(plans: tuple[Plan, Plan]) -> None:
    """Two arms, two seeds, two checkpoints each: 8 × 3 held-out prompts; with the base student 9 × 6 test prompts."""
    rows = by_name(plans[0])
    assert rows["selection arithmetic"].at_most.requests == 24
    assert rows["evaluation arithmetic"].at_most.requests == 54


def test_only_selected_ones_are_evaluated_unless_the_recipe_asks_for_all(recipe_file: Path, tmp_path: Path) -> None:
    """Two arms with one seed: 2 × 2 × 3 to choose by, then (1 + 2) × 6."""
    rows = by_name(make_plan(recipe_with(recipe_file, *KEPT), tmp_path))
    assert [rows[f"{stage} arithmetic"].at_most.requests for stage in ("selection", "evaluation")] == [12, 18]
    assert "selection arithmetic" not in by_name(make_plan(recipe_with(recipe_file), tmp_path))


def test_the_plan_of_the_finished_run_is_what_it_was_token_for_token(plans: tuple[Plan, Plan]) -> None:
    """Whichever checkpoints were selected: nothing is left, and the rows' tokens are all that was spent."""
    before, after = plans
    rows = by_name(after)
    assert all(row.expected == row.at_most == row.stored for row in after.rows)
    assert all(row.left == (NOTHING, NOTHING) for row in after.rows)
    assert sum(row.stored.tokens for row in after.rows if row.stage != "training") == after.spent_tokens
    for name in ("selection arithmetic", "evaluation arithmetic"):
        assert rows[name].stored.requests <= by_name(before)[name].at_most.requests
        assert rows[name].seconds is not None
