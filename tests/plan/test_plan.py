"""Run with: pytest tests/plan/test_plan.py. Small recipes, worked by hand, and held against a real tiny run."""

from __future__ import annotations

import json
import sys
from math import isnan, nan
from pathlib import Path
from typing import Any

import pytest

from cgd import cli, pipeline
from cgd.chat import encode_chat, encode_text, load_tokenizer
from cgd.config import BudgetConfig, Price
from cgd.data import choose_prompts
from cgd.errors import StoppedError, UserError
from cgd.plan import make_plan
from cgd.plan.lengths import choose, mean_of, share_of, stand_in
from cgd.plan.numbers import NOTHING, Counted, OverLength, Plan, Rate, Row
from cgd.plan.rows import extrapolate
from cgd.plan.show import sentences
from cgd.recipe import load_recipe
from cgd.runfolder import open_run, read_json
from tests.conftest import Tokenizer
from tests.integration.folder import decided, query, stages
from tests.plan.planned import by_name, recipe_with

SEVERAL = ["draft.n=2", "draft.temperature=1.0", "critique.n=3", "critique.temperature=1.0"]


@pytest.fixture(scope="session")
def run_through(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """The plan before a run, and the folder of runs after it. Not to be changed."""
    runs = tmp_path_factory.mktemp("runs")
    before = make_plan(load_recipe([recipe_file]), runs)
    pipeline.run(load_recipe([recipe_file]), runs)
    return before, runs


def one_row(**fields: Any) -> Row:
    return Row("draft", "", NOTHING, NOTHING, NOTHING)._replace(**fields)


def plan_of(*rows: Row, **fields: Any) -> Plan:
    over = OverLength(0.0, (0.0, 0.0), 8, real=True)
    return Plan("trial", rows, over, 0.05, 512, BudgetConfig(), 0, 0.0, {}, [])._replace(**fields)


# Counts


def test_requests_multiply_along_the_stages(recipe_file: Path, tmp_path: Path) -> None:
    """8 prompts, 2 drafts each = 16, 3 critiques a draft = 48, one refinement each = 48 = rows of either arm.

    Two arms, two seeds, and the base student answer 6 test prompts: 6 × (1 + 2 × 2) = 30. Most new tokens are 8 a
    draft, 16 a critique, 64 a refinement, 8 a prediction. 2 steps a seed.
    """
    recipe = recipe_with(recipe_file, *SEVERAL, "training.seeds=[0, 1]")
    rows = by_name(make_plan(recipe, tmp_path))
    assert {name: row.at_most.requests for name, row in rows.items()} == {
        **{"draft": 16, "critique": 48, "refinement": 48},
        **{"training cgd": 48, "training sft": 48, "evaluation arithmetic": 30},
    }
    new = {name: row.at_most.new_tokens for name, row in rows.items() if row.stage != "training"}
    assert new == {"draft": 128, "critique": 768, "refinement": 3072, "evaluation arithmetic": 240}
    assert rows["training cgd"].steps == 4


def test_prompt_tokens_of_drafts_are_those_that_the_student_reads(recipe_file: Path, tmp_path: Path) -> None:
    """Eight prompts are all looked at: what is expected is exact, and at most as much."""
    recipe = load_recipe([recipe_file])
    tokenizer = load_tokenizer(Path(recipe.student.model))
    read = sum(len(encode_chat(tokenizer, prompt.messages)) for prompt in choose_prompts(recipe).training)
    row = by_name(make_plan(recipe, tmp_path))["draft"]
    assert (row.expected.prompt_tokens, row.at_most.prompt_tokens) == (read, read)
    assert isnan(row.expected.new_tokens), "how long drafts are is not known before they are made"


def test_a_second_longer_try_doubles_the_requests_and_adds_its_tokens(recipe_file: Path, tmp_path: Path) -> None:
    """8 drafts, each cut at 8 and asked again with 32 tokens: at most 16 requests and 8 × (8 + 32) = 320 new tokens."""
    row = by_name(make_plan(recipe_with(recipe_file, 'draft.truncated="retry"'), tmp_path))["draft"]
    assert (row.at_most.requests, row.at_most.new_tokens) == (16, 320)


def test_records_of_one_prompt_share_the_teachers_own_answer(recipe_file: Path, tmp_path: Path) -> None:
    """48 records of 8 prompts: 8 answers of at most 512 tokens each, and 48 rows all the same."""
    answers = '{name = "d", objective = "distilled_sft", options = {target = "teacher_answer"}}'
    own = f'arms=[{{name = "cgd", objective = "cgd"}}, {answers}]'
    rows = by_name(make_plan(recipe_with(recipe_file, *SEVERAL, own), tmp_path))
    assert (rows["teacher_answer"].at_most.requests, rows["teacher_answer"].at_most.new_tokens) == (8, 8 * 512)
    assert rows["training d"].at_most.requests == 48


def test_arms_without_a_teacher_need_no_generation_and_their_rows_are_exact(recipe_file: Path, tmp_path: Path) -> None:
    plan = make_plan(recipe_with(recipe_file, 'arms=[{name = "sft", objective = "sft"}]'), tmp_path)
    rows = by_name(plan)
    assert set(rows) == {"training sft", "evaluation arithmetic"}
    assert rows["training sft"].expected == rows["training sft"].at_most
    assert plan.over_length == OverLength(0.0, (0.0, 0.0), 8, real=True)


def test_a_stand_in_has_the_tokens_it_stands_for_and_hardly_more(tokenizer: Tokenizer) -> None:
    for tokens in (1, 8, 64, 500):
        assert tokens <= len(encode_text(tokenizer.it, stand_in(tokenizer.it, tokens))) <= 1.1 * tokens + 2


def test_nothing_is_written_and_no_folder_made(recipe_file: Path, tmp_path: Path) -> None:
    make_plan(load_recipe([recipe_file]), tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


def test_a_teacher_without_a_tokenizer_here_is_said_and_one_with_its_own_is_not(
    recipe_file: Path, tmp_path: Path, student: Path
) -> None:
    plan = make_plan(load_recipe([recipe_file]), tmp_path)
    assert plan.notes == [
        "the teacher has no tokenizer on this machine: the student's stands in and counts its prompts"
    ]
    teacher = f'teacher={{backend = "hf", model = "{student}"}}'
    assert make_plan(recipe_with(recipe_file, teacher), tmp_path).notes == []
    served = 'teacher={backend = "openai_api", model = "big/one", options = {base_url = "http://localhost:1/v1"}}'
    assert make_plan(recipe_with(recipe_file, served), tmp_path).notes == plan.notes


# Held against a run


def test_no_stage_of_a_run_exceeds_what_was_planned_at_most(run_through: tuple[Plan, Path], recipe_file: Path) -> None:
    before, runs = run_through
    after = by_name(make_plan(load_recipe([recipe_file]), runs))
    for name, row in by_name(before).items():
        for planned, found in zip(row.at_most, after[name].stored, strict=True):
            assert planned >= found > 0 or found == 0, name


def test_the_plan_of_a_finished_run_is_what_it_was(run_through: tuple[Plan, Path], recipe_file: Path) -> None:
    """Everything is stored: nothing is left, nothing is open, and training rows count as the trainer counted them."""
    plan = make_plan(load_recipe([recipe_file]), run_through[1])
    assert all(row.expected == row.at_most == row.stored for row in plan.rows)
    assert all(row.left == (NOTHING, NOTHING) for row in plan.rows)
    assert plan.end("tokens") == (plan.spent_tokens, plan.spent_tokens)
    assert plan.end("cost") == pytest.approx((plan.spent_cost, plan.spent_cost))
    assert plan.seconds is not None and plan.seconds[0] > 0 and plan.seconds[1] == 0
    account = {a["arm"]: a for a in (read_json(run_through[1] / "tiny" / "summary.json") or {})["training"]}
    rows = by_name(plan)
    for arm in ("cgd", "sft"):
        trained = Counted(*(account[arm][key] for key in ("rows", "context_tokens", "target_tokens")))
        assert rows[f"training {arm}"].stored == trained
    assert "0 s left" in list(sentences(plan))[-1]


def test_a_plan_of_twice_the_prompts_expects_twice_what_is_stored(
    run_through: tuple[Plan, Path], recipe_file: Path
) -> None:
    """8 of 16 prompts are stored. Critiques have 3 words each, so 24 tokens are there and 48 expected."""
    rows = by_name(make_plan(recipe_with(recipe_file, "data.n=16"), run_through[1]))
    assert (rows["critique"].stored.requests, rows["critique"].expected.requests) == (8, 16)
    assert (rows["critique"].stored.new_tokens, rows["critique"].expected.new_tokens) == (24, 48)
    assert rows["critique"].at_most.new_tokens == 24 + 8 * 16
    cgd = rows["training cgd"]
    assert cgd.expected.new_tokens == pytest.approx(2 * cgd.stored.new_tokens)


def test_stored_rows_that_are_too_long_are_counted_exactly_and_warned_of(
    run_through: tuple[Plan, Path], recipe_file: Path
) -> None:
    """No row has 20 tokens or less: all of them are too long, which is more than the 5% that are borne."""
    plan = make_plan(recipe_with(recipe_file, "training.max_length=20"), run_through[1])
    assert plan.over_length == OverLength(1.0, (1.0, 1.0), 8, real=True)
    assert list(sentences(plan))[0].startswith("Warning: Training rows longer than training.max_length = 20 tokens: ")


def test_before_there_are_records_rows_are_as_long_as_max_tokens_allow(recipe_file: Path, tmp_path: Path) -> None:
    """A context of x, 8 and 16 tokens and a target of 65: more than 80 tokens, so every row may be too long."""
    plan = make_plan(recipe_with(recipe_file, "training.max_length=80"), tmp_path)
    assert (plan.over_length.share, plan.over_length.real) == (1.0, False)
    assert by_name(plan)["training cgd"].at_most.new_tokens >= 8 * 65
    assert "at most 100.0%" in list(sentences(plan))[0]


# Numbers


def test_a_mean_over_all_is_exact_and_one_over_a_sample_has_room() -> None:
    """The mean of 10 and 20 is 15; of 200 lengths among more it lies below the upper end of its interval."""
    assert mean_of([10, 20], 2) == (15.0, 15.0)
    mean, at_most = mean_of([10, 20] * 100, 1000)
    assert mean == 15.0 and 15.2 < at_most < 16.5
    assert share_of([True, False, False, False], 4, real=True) == OverLength(0.25, (0.25, 0.25), 4, real=True)
    low, high = share_of([True, False, False, False], 400, real=True).interval
    assert 0.0 < low < 0.25 < high < 1.0


def test_a_sample_of_prompts_is_the_same_every_time(recipe_file: Path) -> None:
    prompts = choose_prompts(recipe_with(recipe_file, "data.n=300")).training
    assert choose(prompts, 0) == choose(prompts, 0) != choose(prompts, 1)
    assert len(set(prompt.id for prompt in choose(prompts, 0))) == 200
    assert choose(prompts[:8], 0) == prompts[:8]


def test_what_is_stored_extrapolates_by_its_mean() -> None:
    """4 replies of 100 and 50 tokens: 10 have 250 and 125. Without any the new tokens are unknown."""
    assert extrapolate(Counted(4, 100, 50), 10) == Counted(10, 250, 125)
    requests, prompts, new = extrapolate(NOTHING, 10, 7.0)
    assert (requests, prompts, isnan(new)) == (10, 70, True)
    assert all(isnan(value) for value in extrapolate(NOTHING, nan))


def test_cost_is_that_of_prompt_and_new_tokens_at_their_prices() -> None:
    """1,000,000 prompt tokens at 0.5 and 200,000 new ones at 1.5 a million: 0.5 + 0.3 = 0.8."""
    assert Counted(10, 1_000_000, 200_000).cost(Price(input=0.5, output=1.5)) == pytest.approx(0.8)
    assert Counted(10, 1_000_000, 200_000).cost(None) == 0.0


BUDGETS = {
    50_000: "it fits.",
    40_000: "it fits as expected, not at most.",
    20_000: "it does not fit, so the run will stop.",
}


@pytest.mark.parametrize("cap", BUDGETS)
def test_a_budget_counts_what_was_spent_and_what_is_left(cap: int) -> None:
    """10 of 30 requests are stored, 5,000 tokens; 7,000 were spent with failed tries.

    Expected 15,000 in all: 10,000 are left, so 17,000 + the other stage's 10,000 = 27,000 in the end. At most 25,000:
    20,000 left, 27,000 + 20,000 = 47,000.
    """
    draft = one_row(stored=Counted(10, 3000, 2000), expected=Counted(30, 9000, 6000), at_most=Counted(30, 9000, 16000))
    critique = one_row(expected=Counted(30, 8000, 2000), at_most=Counted(30, 8000, 12000))
    plan = plan_of(draft, critique, budget=BudgetConfig(tokens=cap), spent_tokens=7000)
    assert plan.end("tokens") == (27_000, 47_000)
    line = next(line for line in sentences(plan) if line.startswith("Budget"))
    assert line.startswith(f"Budget of {cap:,} (tokens): 7,000 spent, in the end about 27,000, at most 47,000: ")
    assert line.endswith(BUDGETS[cap])


def test_a_budget_in_currency_uses_each_stages_own_price() -> None:
    """1,000 prompt and 1,000 new tokens at 1 and 2, and as many at 10 and 20 a million: 0.003 + 0.03 = 0.033."""
    counted = Counted(10, 1000, 1000)
    rows = [one_row(expected=counted, at_most=counted, price=Price(input=i, output=2 * i)) for i in (1, 10)]
    plan = plan_of(*rows, budget=BudgetConfig(cost=0.03))
    assert plan.end("cost") == pytest.approx((0.033, 0.033))
    assert any(line.endswith("at most 0.0330: it does not fit, so the run will stop.") for line in sentences(plan))


def test_time_is_a_start_and_so_much_for_each_request_or_step() -> None:
    """Loading 5 s, 2 s a request: 30 requests are 65 s, the 20 that are left 45 s.

    Two seeds of 8 steps of 3 s with 10 s of loading each: 2 × 10 + 16 × 3 = 68 s; one seed is trained, 34 s are left.
    """
    draft = one_row(
        stored=Counted(10, 0, 0), expected=Counted(30, 0, 0), at_most=Counted(90, 0, 0), rate=Rate(5.0, 2.0, 7)
    )
    assert draft.seconds == (65.0, 45.0)
    training = one_row(stage="training", steps=16, starts=2, done=0.5, rate=Rate(10.0, 3.0, 2))
    assert training.seconds == (68.0, 34.0)
    plan = plan_of(draft, training, peak_gib={"generation": 1.25, "training": 3.0})
    assert plan.seconds == (133.0, 79.0)
    assert list(sentences(plan))[-1] == (
        "Time: about 2 min for the whole run, 79 s left; peak memory 1.2 GiB in generation, 3.0 GiB in training."
    )
    unknown = plan_of(draft, one_row())
    assert unknown.seconds is None
    assert list(sentences(unknown))[-1] == "Time unknown: --measure 8 finds out."


# Measuring


def test_what_was_measured_is_not_asked_again_and_the_run_ends_as_if_nothing_had_been(
    run_through: tuple[Plan, Path], recipe_file: Path, tmp_path: Path
) -> None:
    """3 of 8 prompts through three stages and 3 of the base student's 6 predictions: 12 replies, each made once.

    The run then makes 5 × 3 + 3 + 2 × 6 predictions, 2 trainings and 18 grades, and its store is that of a run
    without measuring.
    """
    recipe = load_recipe([recipe_file])
    plan = make_plan(recipe, tmp_path, measured=3, command=["cgd", "plan"])
    assert stages(tmp_path / "tiny") == {"draft": 3, "critique": 3, "refinement": 3, "prediction": 3}
    assert query(tmp_path / "tiny", "SELECT COUNT(*) FROM current") == [(0,)]
    assert [path.name for path in (tmp_path / "tiny").iterdir() if path.is_dir()] == [], "trial weights are thrown away"
    assert plan.seconds is not None and plan.seconds[0] > plan.seconds[1] > 0
    assert 0.05 < plan.peak_gib["generation"] < 64 and 0.05 < plan.peak_gib["training"] < 64
    assert plan.over_length.n == 3 and plan.over_length.real
    stored = {name: row.stored.requests for name, row in by_name(plan).items()}
    assert stored["draft"] == stored["training cgd"] == stored["evaluation arithmetic"] == 3
    again = make_plan(recipe, tmp_path)
    assert again.seconds == plan.seconds, "a later plan knows what was measured"
    result = pipeline.run(recipe, tmp_path)
    assert result.made == 5 * 3 + 3 + 12 + 2 + 18
    assert query(tmp_path / "tiny", "SELECT MAX(attempts) FROM replies") == [(1,)]
    assert decided(tmp_path / "tiny") == decided(run_through[1] / "tiny")


def test_measuring_respects_the_budget_and_what_was_made_stays(recipe_file: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match="the next one may not fit the budget: tokens = 900"):
        make_plan(recipe_with(recipe_file, "budget.tokens=900"), tmp_path, measured=8)
    assert stages(tmp_path / "tiny")["draft"] >= 1
    assert 0 < make_plan(recipe_with(recipe_file, "budget.tokens=900"), tmp_path).spent_tokens <= 900


def test_measuring_in_the_folder_of_another_recipe_is_refused(recipe_file: Path, tmp_path: Path) -> None:
    with open_run(tmp_path / "tiny", load_recipe([recipe_file]), accept_changes=False, command=["cgd"]) as folder:
        folder.save_manifest()
    with pytest.raises(UserError, match="was begun with another recipe"):
        make_plan(recipe_with(recipe_file, "data.n=9"), tmp_path, measured=2)


# The command


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["cgd", "plan", *arguments])
    code = 0
    try:
        cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    return code, *capsys.readouterr()


def test_the_command_shows_a_line_a_stage_and_a_closing_sentence(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(monkeypatch, capsys, str(recipe_file), "--runs", str(tmp_path))
    lines = out.splitlines()
    assert code == 0
    names = ["stage", "draft", "critique", "refinement", "training cgd, 2", "training sft, 2", "evaluation arithmetic"]
    assert [line.startswith(name) for line, name in zip(lines, names, strict=False)] == [True] * len(names)
    assert lines[-1] == "Time unknown: --measure 8 finds out."
    assert "\x1b" not in out


def test_json_has_the_documented_keys(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """8 drafts of at most 8 tokens cost 2 currency a million new tokens: their share is 128 millionths."""
    code, out, _ = call(monkeypatch, capsys, str(recipe_file), "--runs", str(tmp_path), "--json")
    plan = json.loads(out)
    assert code == 0
    assert list(plan) == [
        *("name", "stages", "over_length", "budget", "seconds", "seconds_left", "peak_gib", "notes"),
    ]
    draft = plan["stages"][0]
    assert list(draft) == [
        *("stage", "name", "stored", "expected", "at_most", "steps", "seconds", "seconds_left", "measured_on"),
    ]
    assert draft["expected"]["new_tokens"] is draft["expected"]["cost"] is draft["seconds"] is None
    cost = (draft["at_most"]["prompt_tokens"] * 1 + 64 * 2) / 1e6
    assert draft["at_most"]["cost"] == pytest.approx(cost)
    assert set(plan["budget"]["tokens"]) == {"cap", "spent", "expected", "at_most"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluation.tasks.0.n=1000000", "distinct test problems"),
        ("student.model=./none", "no model './none'"),
        ("critique.prompt=none.jinja", "can't read prompt file none.jinja"),
    ],
)
def test_what_a_run_refuses_is_refused_with_the_same_message(
    recipe_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    override: str,
    message: str,
) -> None:
    code, out, err = call(monkeypatch, capsys, str(recipe_file), "--runs", str(tmp_path), "--set", override)
    assert (code, out, err.count("error: ")) == (2, "", 1)
    assert message in err
