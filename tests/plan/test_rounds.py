"""Run with: pytest tests/plan/test_rounds.py. Later rounds and self-refinement, worked by hand and against a run."""

from __future__ import annotations

import shutil
from math import isnan
from pathlib import Path
from typing import NamedTuple

import pytest

from cgd import pipeline
from cgd.chat import encode_chat, load_tokenizer
from cgd.config import Recipe
from cgd.data import choose_prompts
from cgd.plan import make_plan
from cgd.plan.numbers import NOTHING, Plan
from tests.integration.folder import stages
from tests.plan.planned import by_name, recipe_with

ROUNDS = 'arms=[{name = "cgd", objective = "cgd", rounds = 3}, {name = "sft", objective = "sft"}]'
SEEDS = "training.seeds=[0, 1]"
TWICE = "evaluation.self_refine.rounds=2"
BY_TEACHER = 'evaluation.self_refine.critic="teacher"'


class Ran(NamedTuple):
    """A run with rounds and refinement, the plans before it and after its first round, and its folder of runs."""

    recipe: Recipe
    before: Plan
    half_way: Plan
    runs: Path


@pytest.fixture(scope="module", params=["student", "teacher"])
def ran(request: pytest.FixtureRequest, recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Not to be changed."""
    critic = f'evaluation.self_refine.critic="{request.param}"'
    recipe, runs = recipe_with(recipe_file, ROUNDS, SEEDS, TWICE, critic), tmp_path_factory.mktemp("runs")
    before = make_plan(recipe, runs)
    pipeline.run(recipe, runs, until="refinement")
    half_way = make_plan(recipe, runs)
    pipeline.run(recipe, runs)
    return Ran(recipe, before, half_way, runs)


def test_each_seed_of_an_arm_drafts_is_criticised_and_trains_again_in_every_later_round(
    recipe_file: Path, tmp_path: Path
) -> None:
    """8 prompts: 8 requests of each stage in the first round, which all arms share; 2 seeds × 8 in each later one.

    Most new tokens of 16 are 16 × 8 = 128 in drafts, 16 × 16 = 256 in critiques, 16 × 64 = 1024 in refinements. Each
    training has 2 steps: 2 seeds of them are 4. Five students answer 6 test prompts, however many rounds they had.
    """
    rows = by_name(make_plan(recipe_with(recipe_file, ROUNDS, SEEDS), tmp_path))
    later = {f"{stage} cgd round {number}" for stage in ("draft", "critique", "refinement") for number in (2, 3)}
    assert {name for name in rows if " round " in name} == later | {f"training cgd round {n}" for n in (2, 3)}
    assert rows["draft"].at_most.requests == 8
    assert {rows[name].at_most.requests for name in later} == {16}
    for number in (2, 3):
        new = [rows[f"{stage} cgd round {number}"].at_most.new_tokens for stage in ("draft", "critique", "refinement")]
        assert new == [128, 256, 1024]
        training = rows[f"training cgd round {number}"]
        assert (training.at_most.requests, training.steps, training.starts) == (16, 4, 2)
    assert rows["evaluation arithmetic"].at_most.requests == 30


def test_later_drafts_read_the_same_prompts_and_cost_what_the_students_tokens_cost(
    recipe_file: Path, tmp_path: Path
) -> None:
    """One more round of one seed reads the 8 prompts once more; at most 64 new tokens at 2 currency a million."""
    recipe = recipe_with(recipe_file, "arms.0.rounds=2")
    tokenizer = load_tokenizer(Path(recipe.student.model))
    read = sum(len(encode_chat(tokenizer, prompt.messages)) for prompt in choose_prompts(recipe).training)
    row = by_name(make_plan(recipe, tmp_path))["draft cgd round 2"]
    assert (row.expected.prompt_tokens, row.at_most.prompt_tokens) == (read, read)
    assert isnan(row.expected.new_tokens), "how long drafts are is not known before they are made"
    assert row.at_most.cost(row.price) == pytest.approx((read * 1 + 64 * 2) / 1e6)


def test_the_teachers_own_answers_are_asked_for_once_whatever_the_rounds(recipe_file: Path, tmp_path: Path) -> None:
    answers = '{name = "d", objective = "distilled_sft", options = {target = "teacher_answer"}, rounds = 2}'
    rows = by_name(make_plan(recipe_with(recipe_file, f"arms=[{answers}]"), tmp_path))
    assert set(rows) == {"teacher_answer", "training d", "training d round 2", "evaluation arithmetic"}
    assert rows["training d round 2"].at_most.requests == 8


def test_every_student_criticises_and_refines_its_first_answers_in_every_round(
    recipe_file: Path, tmp_path: Path
) -> None:
    """Base and two arms, 6 prompts, 2 rounds: 36 critiques and 36 refinements of at most 8 tokens, 288 of each.

    Three answers to each prompt change nothing: the first is refined.
    """
    rows = by_name(make_plan(recipe_with(recipe_file, TWICE), tmp_path))
    for stage in ("self_critique", "self_refinement"):
        at_most = rows[f"{stage} arithmetic"].at_most
        assert (at_most.requests, at_most.new_tokens) == (36, 288)
    several = recipe_with(recipe_file, TWICE, "evaluation.samples=3", "evaluation.temperature=1.0")
    rows = by_name(make_plan(several, tmp_path))
    assert (rows["evaluation arithmetic"].at_most.requests, rows["self_refinement arithmetic"].at_most.requests) == (
        *(54, 36),
    )
    assert not any(row.stage.startswith("self_") for row in make_plan(recipe_with(recipe_file), tmp_path).rows)


def test_the_teacher_as_critic_writes_as_much_as_its_critiques_may_and_at_its_price(
    recipe_file: Path, tmp_path: Path
) -> None:
    """36 critiques of at most 16 tokens at 20 currency a million, and 36 refinements of 8 at the student's 2."""
    rows = by_name(make_plan(recipe_with(recipe_file, TWICE, BY_TEACHER), tmp_path))
    critiques, refinements = rows["self_critique arithmetic"], rows["self_refinement arithmetic"]
    assert (critiques.at_most.new_tokens, refinements.at_most.new_tokens) == (576, 288)
    assert critiques.at_most.cost(critiques.price) == pytest.approx(
        (critiques.at_most.prompt_tokens * 10 + 576 * 20) / 1e6
    )
    assert refinements.price == recipe_with(recipe_file).student.price


# Held against a run


def test_no_stage_of_the_run_exceeds_what_was_planned_at_most(ran: Ran) -> None:
    """Prompts may by a little: the bytes that random weights write take more tokens to read than they took to write."""
    after = by_name(make_plan(ran.recipe, ran.runs))
    assert set(after) == set(by_name(ran.before))
    for name, row in by_name(ran.before).items():
        planned, found = row.at_most, after[name].stored
        assert planned.requests >= found.requests, name
        assert planned.new_tokens >= found.new_tokens, name
        assert 1.1 * planned.prompt_tokens >= found.prompt_tokens, name


def test_the_plan_of_the_finished_run_is_what_it_was_token_for_token(ran: Ran) -> None:
    """Whatever the store holds is in exactly one row: the rows' tokens are all that was spent."""
    plan = make_plan(ran.recipe, ran.runs)
    assert all(row.expected == row.at_most == row.stored for row in plan.rows)
    assert all(row.left == (NOTHING, NOTHING) and row.done == (row.stage == "training") for row in plan.rows)
    assert sum(row.stored.tokens for row in plan.rows if row.stage != "training") == plan.spent_tokens
    assert plan.end("cost") == pytest.approx((plan.spent_cost, plan.spent_cost))
    assert sum(row.stored.requests for row in plan.rows if row.stage != "training") == stages(ran.runs / "tiny").total()
    assert plan.seconds is not None and plan.seconds[0] > 0 and plan.seconds[1] == 0


def test_later_rounds_are_expected_to_go_as_the_first_did(ran: Ran) -> None:
    """Critiques have 3 words each: 8 of the first round are stored, 16 of each later one and 48 tokens expected."""
    rows = by_name(ran.half_way)
    for number in (2, 3):
        row = rows[f"critique cgd round {number}"]
        assert (row.stored.requests, row.expected.requests, row.expected.new_tokens) == (0, 16, 48)
        training, first = rows[f"training cgd round {number}"], rows["training cgd"]
        assert training.expected.new_tokens == pytest.approx(2 * first.stored.new_tokens)


def test_a_round_that_is_gone_is_planned_again_and_what_follows_from_it(ran: Ran, tmp_path: Path) -> None:
    """Without seed 1's checkpoint of the second round its third round is not begun: 8 of 16 requests are stored."""
    shutil.copytree(ran.runs, tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs" / "tiny" / "checkpoints" / "cgd" / "seed1-round2")
    rows = by_name(make_plan(ran.recipe, tmp_path / "runs"))
    assert (rows["training cgd round 2"].done, rows["training cgd round 3"].done) == (0.5, 0.5)
    assert (rows["draft cgd round 2"].stored.requests, rows["draft cgd round 3"].stored.requests) == (16, 8)
    assert rows["evaluation arithmetic"].stored.requests == 4 * 6
