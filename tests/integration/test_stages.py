"""Run with: pytest tests/integration/test_stages.py. The generating stages, by scripted backends and real stores."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pyarrow import parquet

from cgd import cli, pipeline
from cgd.config import Recipe
from cgd.errors import StoppedError
from cgd.models import weights_hash
from cgd.pipeline import RunResult, Until
from cgd.runfolder import read_json
from tests.backends.test_openai_api import Server, completion
from tests.builders import make_recipe
from tests.integration.folder import REPOSITORY, query, stages

TEACHER = {"critique": "{draft} is wrong.", "refinement": "4, not {draft}"}


def recipe_of(folder: Path, **sections: Any) -> Recipe:
    return make_recipe(
        **{
            "data": {"task": "arithmetic", "n": 4},
            "student": {"backend": "scripted", "model": str(folder), "options": {"replies": {"draft": "5"}}},
            "teacher": {"backend": "scripted", "options": {"replies": TEACHER}},
            "arms": [{"name": "cgd", "objective": "cgd"}],
            "training": {"steps": 1, "batch_size": 4},
        }
        | sections
    )


def generate(recipe: Recipe, runs: Path, until: Until = "refinement", *, accept_changes: bool = True) -> RunResult:
    return pipeline.run(recipe, runs, until=until, accept_changes=accept_changes)


def test_a_run_ends_after_the_stage_it_is_to_end_with_and_goes_on_later(student: Path, tmp_path: Path) -> None:
    recipe = recipe_of(student)
    for until, made, expected in (
        ("draft", 4, {"draft": 4}),
        ("critique", 4, {"draft": 4, "critique": 4}),
        ("refinement", 4, {"draft": 4, "critique": 4, "refinement": 4}),
    ):
        result = generate(recipe, tmp_path, until)  # type: ignore[arg-type]
        assert (result.made, result.summary, dict(stages(result.folder))) == (made, {}, expected)
    result = generate(recipe, tmp_path, "training")
    assert (result.made, result.summary) == (1, {}), "one checkpoint"
    assert (result.folder / "checkpoints" / "cgd" / "seed0" / "cgd.json").is_file()
    result = pipeline.run(recipe, tmp_path)
    assert (result.made, result.summary["task"]) == (0, None), "this recipe evaluates nothing"


def test_several_drafts_have_several_critiques_each(student: Path, tmp_path: Path) -> None:
    """4 prompts, 2 drafts each, 3 critiques a draft, a refinement for each critique: 8, 24 and 24 rows."""
    recipe = recipe_of(student, draft={"n": 2, "temperature": 1.0}, critique={"n": 3, "temperature": 1.0})
    folder = generate(recipe, tmp_path).folder
    assert stages(folder) == {"draft": 8, "critique": 24, "refinement": 24}
    per_draft = query(folder, "SELECT COUNT(*) FROM records GROUP BY draft_key")
    assert per_draft == [(3,)] * 8
    assert query(folder, "SELECT COUNT(DISTINCT critique_key) FROM records") == [(24,)]


def test_another_prompt_for_a_stage_keeps_all_stages_before_it(student: Path, tmp_path: Path) -> None:
    folder = generate(recipe_of(student), tmp_path).folder
    refinement, critique = tmp_path / "refinement.jinja", tmp_path / "critique.jinja"
    refinement.write_text("Mend {{ draft }}: {{ critique }}")
    critique.write_text("Judge {{ draft }}")
    rewritten = recipe_of(student, refinement={"prompt": str(refinement)})
    assert generate(rewritten, tmp_path).made == 4
    assert stages(folder) == {"draft": 4, "critique": 4, "refinement": 8}
    criticised = recipe_of(student, refinement={"prompt": str(refinement)}, critique={"prompt": str(critique)})
    assert generate(criticised, tmp_path).made == 8
    assert stages(folder) == {"draft": 4, "critique": 8, "refinement": 12}
    assert generate(recipe_of(student), tmp_path).made == 0, "the first prompts' rows are still there"


def test_what_was_cut_is_asked_once_more_with_more_room(student: Path, tmp_path: Path) -> None:
    """The server has 6 tokens to say: 4 are too few, 8 are enough."""

    async def say_six(body: dict[str, Any], number: int) -> web.StreamResponse:
        words = ["wrong"] * min(6, body["max_tokens"])
        return completion(" ".join(words), "stop" if len(words) == 6 else "length")

    with Server(say_six) as server:
        teacher = {"backend": "openai_api", "model": "m", "options": {"base_url": server.url}}
        decoding = {"max_tokens": 4, "truncated": "retry", "retry_max_tokens": 8}
        folder = generate(recipe_of(student, teacher=teacher, critique=decoding), tmp_path, "critique").folder
        assert [body["max_tokens"] for body in server.bodies] == [4] * 4 + [8] * 4
        assert generate(recipe_of(student, teacher=teacher, critique=decoding), tmp_path, "critique").made == 0
    used = query(
        folder, "SELECT r.state, r.text FROM current AS u JOIN replies AS r USING (key) WHERE r.stage='critique'"
    )
    assert used == [("done", "wrong " * 5 + "wrong")] * 4
    assert query(folder, "SELECT COUNT(*) FROM replies WHERE state = 'truncated'") == [(4,)]


@pytest.mark.parametrize(("policy", "kept"), [("keep", 4), ("drop", 0)])
def test_what_was_cut_is_kept_or_dropped_as_the_recipe_says(
    student: Path, tmp_path: Path, policy: str, kept: int
) -> None:
    async def cut(body: dict[str, Any], number: int) -> web.StreamResponse:
        return completion("The draft is", "length")

    with Server(cut) as server:
        teacher = {"backend": "openai_api", "model": "m", "options": {"base_url": server.url}}
        recipe = recipe_of(student, teacher=teacher, critique={"truncated": policy}, refinement={"truncated": policy})
        folder = generate(recipe, tmp_path).folder
    assert stages(folder)["refinement"] == kept
    assert query(folder, "SELECT COUNT(*), MIN(reason) FROM drops") == [
        (0, None) if kept else (4, "critique cut at max_tokens")
    ]


def test_a_spent_budget_stops_the_run_and_a_higher_one_goes_on(student: Path, tmp_path: Path) -> None:
    """The scripted student counts no tokens; each critique takes 11 + 3 of the server's."""

    async def answer(body: dict[str, Any], number: int) -> web.StreamResponse:
        return completion("wrong")

    with Server(answer) as server:
        teacher = {"backend": "openai_api", "model": "m", "options": {"base_url": server.url}}

        def budgeted(tokens: int) -> Recipe:
            return recipe_of(student, teacher=teacher, critique={"max_tokens": 8}, budget={"tokens": tokens})

        with pytest.raises(StoppedError, match=r"the next one may not fit the budget: tokens = 1,200 \((\d+) spent\)"):
            generate(budgeted(1200), tmp_path, accept_changes=False)
        assert 0 < len(server.bodies) < 8
        generate(budgeted(100_000), tmp_path, accept_changes=False)
        assert len(server.bodies) == 8, "four critiques and four refinements, none of them twice"


def test_ctrl_c_stores_what_is_in_flight_says_how_to_go_on_and_nothing_is_asked_twice(
    student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server takes 0.5 s for each of 12 critiques and has 4 in hand when the signal comes."""

    async def slow(body: dict[str, Any], number: int) -> web.StreamResponse:
        await asyncio.sleep(0.5)
        return completion("wrong")

    with Server(slow) as server:
        (tmp_path / "trial.toml").write_text(
            f'[data]\ntask = "arithmetic"\nn = 12\n[student]\nbackend = "scripted"\nmodel = "{student}"\n'
            'options = { replies = { draft = "5" } }\n[teacher]\nbackend = "openai_api"\nmodel = "m"\n'
            f'options = {{ base_url = "{server.url}", concurrency = 4 }}\n[[arms]]\nname = "cgd"\nobjective = "cgd"\n'
        )
        command = ["run", str(tmp_path / "trial.toml"), "--runs", str(tmp_path), "--until", "critique"]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.foreground", *command],
            cwd=REPOSITORY,
            stderr=subprocess.PIPE,
            text=True,
        )
        patience = time.monotonic() + 60
        while len(server.bodies) < 4:
            assert process.poll() is None and time.monotonic() < patience
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "stopping: waiting for what is in flight" in complaint
        assert "interrupted: everything generated is stored; the same command continues" in complaint
        asked = len(server.bodies)
        assert asked < 12
        assert query(tmp_path / "trial", "SELECT state, COUNT(*) FROM replies WHERE stage = 'critique'") == [
            ("done", asked)
        ]
        cli.app(command, standalone_mode=False)
        assert "done until critique" in capsys.readouterr().out
        assert len(server.bodies) == 12


def test_what_a_stage_took_is_kept_whatever_ends_the_run(student: Path, tmp_path: Path) -> None:
    folder = generate(recipe_of(student), tmp_path, "critique").folder
    assert set((read_json(folder / "manifest.json") or {})["durations_s"]) == {"draft", "critique"}
    with pytest.raises(StoppedError):
        generate(recipe_of(student, name="spent", budget={"tokens": 1}), tmp_path, "draft")
    assert set((read_json(tmp_path / "spent" / "manifest.json") or {})["durations_s"]) == {"draft"}


# Rounds


def test_a_later_round_drafts_with_the_checkpoint_of_the_round_before_and_trains_it_further(
    student: Path, tmp_path: Path
) -> None:
    """Two rounds of cgd beside one of sft: 4 + 4 drafts, and the second 4 are bound to the first round's weights."""
    recipe = recipe_of(
        student,
        student={"model": str(student), "options": {"batch_size": 4}},
        draft={"max_tokens": 4},
        arms=[{"name": "cgd", "objective": "cgd", "rounds": 2}, {"name": "sft", "objective": "sft"}],
    )
    result = generate(recipe, tmp_path, "training")
    folder = result.folder
    assert stages(folder) == {"draft": 8, "critique": 8, "refinement": 8}
    checkpoints = folder / "checkpoints"
    assert sorted(path.name for path in (checkpoints / "cgd").iterdir()) == ["seed0", "seed0-round1"]
    first, last, base = (
        weights_hash(where) for where in (checkpoints / "cgd" / "seed0-round1", checkpoints / "cgd" / "seed0", student)
    )
    assert len({first, last, base}) == 3
    drafted = query(
        folder,
        "SELECT u.task, u.arm, json_extract(r.backend, '$.weights'), COUNT(*) FROM current AS u "
        "JOIN replies AS r USING (key) WHERE u.stage = 'draft' GROUP BY 1, 2, 3 ORDER BY 1",
    )
    assert drafted == [("", "", base, 4), ("round 2", "cgd", first, 4)]
    accounts = query(folder, "SELECT arm, json_extract(info, '$.round') FROM checkpoints ORDER BY arm")
    assert accounts == [("cgd", 2), ("sft", 1)]
    assert generate(recipe, tmp_path, "training").made == 0
    single = recipe.model_copy(update={"arms": tuple(arm.model_copy(update={"rounds": 1}) for arm in recipe.arms)})
    generate(single, tmp_path, "training")
    assert query(folder, "SELECT COUNT(*) FROM current WHERE task LIKE 'round %'") == [(0,)]


def test_drafts_of_other_weights_than_those_trained_are_warned_of(
    student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scripted student is a stranger to the weights; transformers run the very weights."""
    folder = generate(recipe_of(student), tmp_path, "training").folder
    assert "warning: drafts come from backend 'scripted'" in capsys.readouterr().err
    assert "does not run the very weights" in (read_json(folder / "manifest.json") or {})["warnings"][0]


def test_the_teachers_own_answers_are_made_once_a_prompt_and_only_where_an_arm_learns_them(
    student: Path, tmp_path: Path
) -> None:
    """Two drafts for each of 4 prompts make 8 records; the teacher answers the 4 prompts."""
    teacher = {"backend": "scripted", "options": {"replies": TEACHER | {"teacher_answer": "It is {answer}."}}}
    arms = [
        {"name": "cgd", "objective": "cgd"},
        {"name": "plain", "objective": "distilled_sft", "options": {"target": "teacher_answer"}},
    ]
    recipe = recipe_of(student, teacher=teacher, arms=arms, draft={"n": 2, "temperature": 1.0})
    folder = generate(recipe, tmp_path, "training").folder
    assert stages(folder) == {"draft": 8, "critique": 8, "refinement": 8, "teacher_answer": 4}
    rows = parquet.read_table(folder / "dataset" / "plain.parquet").to_pylist()
    assert len(rows) == 8 and all(row["target"].startswith("It is ") for row in rows)


# Which checkpoint counts


def test_the_best_kept_checkpoint_on_held_out_prompts_is_evaluated(student: Path, tmp_path: Path) -> None:
    """Four steps, two kept checkpoints, after steps 2 and 4; three held-out prompts that no arm trains on."""
    recipe = recipe_of(
        student,
        student={"model": str(student), "options": {"batch_size": 4}},
        draft={"max_tokens": 4},
        training={"steps": 4, "batch_size": 4, "keep_checkpoints": 2, "select": "held_out", "held_out": 3},
        evaluation={"max_tokens": 4, "tasks": [{"task": "arithmetic", "n": 2}]},
    )
    result = pipeline.run(recipe, tmp_path)
    (account,) = result.summary["training"]
    assert account["rows"] == 4, "what is held out is not trained on"
    assert account["held_out_accuracy"].keys() == {"step-000002", "last"}
    best = max(account["held_out_accuracy"].values())
    assert account["held_out_accuracy"][account["selected"]] == best
    chosen = result.folder / "checkpoints" / "cgd" / "seed0"
    chosen = chosen if account["selected"] == "last" else chosen / account["selected"]
    used = query(
        result.folder,
        "SELECT DISTINCT json_extract(r.backend, '$.weights') FROM current AS u JOIN replies AS r USING (key) "
        "WHERE u.stage = 'prediction' AND u.arm = 'cgd'",
    )
    assert used == [(weights_hash(chosen),)]
    asked = query(result.folder, "SELECT task, COUNT(*) FROM current WHERE stage = 'selection' GROUP BY task")
    assert asked == [("seed0", 3), ("step-000002", 3)]
    assert set(result.summary["tasks"]) == {"arithmetic"}, "no report shows what checkpoints were chosen by"
    assert pipeline.run(recipe, tmp_path).made == 0


def test_choosing_among_one_checkpoint_is_refused(student: Path) -> None:
    with pytest.raises(ValueError, match="needs keep_checkpoints of 2 or more"):
        recipe_of(student, training={"select": "held_out"})
