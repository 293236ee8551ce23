"""Run with: pytest tests/generation/test_refine.py."""

from __future__ import annotations

from pathlib import Path

from cgd.config import RefinementConfig
from cgd.generation import refine
from cgd.prompts import render
from cgd.records import Prompt, Record, Request
from tests.builders import user

PROMPT = Prompt.create("item", user("1 + 1?"), answer="2", solution="gold solution")
CRITICISED = Record(PROMPT, draft="It is 3.", critique="Count again.", key="c" * 64)


def ask(*records: Record, config: RefinementConfig | None = None) -> list[Request]:
    return refine.requests(records, config or RefinementConfig(), {"model": "teacher"}, seed=0)


def test_the_teacher_reads_prompt_draft_and_critique_and_nothing_that_the_task_knows() -> None:
    (request,) = ask(CRITICISED)
    expected = render("refinement.jinja", prompt="1 + 1?", draft="It is 3.", critique="Count again.")
    assert request.messages == user(expected)
    assert "gold" not in expected
    assert (request.stage, request.sample, request.record) == ("refinement", 0, CRITICISED)


def test_there_is_one_refinement_a_critique() -> None:
    other = Record(PROMPT, draft="It is 3.", critique="Add the ones.", key="e" * 64)
    requests = ask(CRITICISED, other)
    assert [request.record.critique for request in requests] == ["Count again.", "Add the ones."]
    assert len({request.key for request in requests}) == 2


def test_a_refinement_hangs_on_its_very_critique() -> None:
    twin = Record(PROMPT, draft="It is 3.", critique="Count again.", key="e" * 64)
    one, other = ask(CRITICISED, twin)
    assert one.messages == other.messages
    assert one.key != other.key


def test_the_users_own_prompt_file_replaces_ours(tmp_path: Path) -> None:
    path = tmp_path / "own.jinja"
    path.write_text("{{ prompt }}|{{ draft }}|{{ critique }}")
    (request,) = ask(CRITICISED, config=RefinementConfig(prompt=str(path)))
    assert request.messages == user("1 + 1?|It is 3.|Count again.")
