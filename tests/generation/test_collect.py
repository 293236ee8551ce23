"""Run with: pytest tests/generation/test_collect.py."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.config import Sampling
from cgd.generation.collect import collect, retry_longer
from cgd.records import GeneratedStage, Record, Request, State
from cgd.store import Drop, StoredReply
from tests.builders import ask, make_prompts


def requests(stage: GeneratedStage, count: int) -> list[Request]:
    return [ask(stage, Record(prompt), "m") for prompt in make_prompts([f"{i} + 1?" for i in range(count)])]


def reply(request: Request, state: State) -> StoredReply:
    failed = state == "failed"
    return StoredReply(request.key, state, None if failed else "text", 3, "Timeout" if failed else None, None)


def test_a_reply_takes_its_record_one_stage_further() -> None:
    (request,) = requests("critique", 1)
    records, drops = collect("critique", [request], {request.key: reply(request, "done")}, keep_truncated=False)
    assert (records, drops) == ([request.record.with_reply("critique", request.key, "text")], [])


def test_a_failed_row_is_left_out_with_its_error() -> None:
    (request,) = requests("draft", 1)
    records, drops = collect("draft", [request], {request.key: reply(request, "failed")}, keep_truncated=True)
    assert (records, drops) == ([], [Drop(request.record.id, "draft failed: Timeout")])


@pytest.mark.parametrize("stage", ["critique", "refinement"])
def test_what_the_teacher_could_not_finish_is_left_out(stage: GeneratedStage) -> None:
    (request,) = requests(stage, 1)
    records, drops = collect(stage, [request], {request.key: reply(request, "truncated")}, keep_truncated=False)
    assert (records, drops) == ([], [Drop(request.record.id, f"{stage} cut at max_tokens")])


def test_a_cut_text_stays_where_the_recipe_keeps_it() -> None:
    (request,) = requests("draft", 1)
    records, drops = collect("draft", [request], {request.key: reply(request, "truncated")}, keep_truncated=True)
    assert ([record.draft for record in records], drops) == (["text"], [])


def test_an_empty_draft_is_a_draft() -> None:
    (request,) = requests("draft", 1)
    records, _ = collect(
        "draft", [request], {request.key: StoredReply(request.key, "done", "", 0, None, None)}, keep_truncated=True
    )
    assert [record.draft for record in records] == [""]


@settings(deadline=None)
@given(
    st.sampled_from(["draft", "critique", "refinement"]),
    st.lists(st.sampled_from(["done", "failed", "truncated"])),
    st.booleans(),
)
def test_every_request_ends_in_a_record_or_in_a_drop_and_order_is_kept(
    stage: GeneratedStage, states: list[State], keep: bool
) -> None:
    asked = requests(stage, len(states))
    replies = {request.key: reply(request, state) for request, state in zip(asked, states, strict=True)}
    records, drops = collect(stage, asked, replies, keep_truncated=keep)
    kept = [
        request.key
        for request, state in zip(asked, states, strict=True)
        if state == "done" or (state == "truncated" and keep)
    ]
    assert [record.key for record in records] == kept
    assert len(records) + len(drops) == len(asked)


def test_only_what_was_cut_is_asked_again_with_more_room_and_as_another_row() -> None:
    cut, whole = requests("critique", 2)
    replies = {cut.key: reply(cut, "truncated"), whole.key: reply(whole, "done")}
    longer, same = retry_longer([cut, whole], replies, Sampling(max_tokens=2048), {"model": "m"}, 0)
    assert same == whole
    assert longer.key != cut.key
    assert (longer.record, longer.messages, longer.sampling.max_tokens) == (cut.record, cut.messages, 2048)
