"""Run with: pytest tests/backends/test_scripted.py."""

from __future__ import annotations

import asyncio
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.backends.scripted import Options, ScriptedBackend, build
from cgd.errors import UserError
from cgd.plugins import Backend, build_backend
from cgd.records import Reply, Request, Stage
from tests.builders import make_request_for


def generate(backend: Backend, *requests: Request) -> list[Reply]:
    async def collect() -> list[Reply]:
        return [reply async for reply in backend.generate(requests)]

    return asyncio.run(collect())


def scripted(**replies: str) -> ScriptedBackend:
    return build(Options(replies=replies))


def test_a_text_is_filled_with_what_is_known_of_the_record() -> None:
    request = make_request_for("1 + 1?", "refinement", draft="3", critique="no", answer="2", solution="1 + 1 = 2")
    backend = scripted(refinement="{prompt}|{draft}|{critique}|{answer}|{solution}|{{}}")
    (reply,) = generate(backend, request)
    assert reply == Reply(request.key, "1 + 1?|3|no|2|1 + 1 = 2|{}", "stop", completion_tokens=7)


def test_every_stage_has_a_text_of_its_own_and_replies_come_in_order() -> None:
    stages: tuple[Stage, ...] = get_args(Stage)
    requests = [make_request_for("1 + 1?", stage) for stage in stages]
    replies = generate(scripted(**{stage: f"a {stage}" for stage in stages}), *requests)
    assert [(reply.key, reply.text) for reply in replies] == [(r.key, f"a {r.stage}") for r in requests]


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8")))
def test_model_text_is_put_in_as_it_is(draft: str) -> None:
    """A draft that holds `{solution}` does not get the solution."""
    request = make_request_for("1 + 1?", "critique", draft=f"{{solution}}{draft}", solution="secret")
    (reply,) = generate(scripted(critique="<{draft}>"), request)
    assert reply.text == f"<{{solution}}{draft}>"


def test_a_stage_without_a_text_is_refused_before_anything_is_generated() -> None:
    with pytest.raises(UserError, match="no text for stage 'critique' in options.replies"):
        scripted(draft="2").check([make_request_for(stage="draft"), make_request_for(stage="critique")])


@pytest.mark.parametrize("text", ["{drafft}", "{", "{}", "{draft.nothing}", "{draft[x]}", "{draft:d}", "{critique:>9}"])
def test_a_text_that_can_not_be_filled_is_refused_with_the_values_there_are(text: str) -> None:
    with pytest.raises(UserError, match="can't be filled: .*values: prompt, draft, critique, answer, solution"):
        scripted(draft=text).check([make_request_for(stage="draft", draft="3")])


def test_its_identity_is_its_texts_alone() -> None:
    """A scripted student is the same before and after training, whatever its checkpoint is called."""
    replies = {"draft": "2"}
    one, other = (build_backend("scripted", {"replies": replies, "model": model}) for model in ("a", "b"))
    assert one.identity == other.identity == {"backend": "scripted", "replies": replies}
    assert scripted(draft="3").identity != one.identity


def test_a_faulty_recipe_is_refused() -> None:
    with pytest.raises(UserError, match="replies: required, but absent"):
        build_backend("scripted", {})
    with pytest.raises(UserError, match="replies.draft: Input should be a valid string"):
        build_backend("scripted", {"replies": {"draft": 2}})
