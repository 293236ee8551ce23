"""Run with: pytest tests/test_records.py."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.config import Sampling
from cgd.records import Message, Prompt, Record, Request, Stage, content_hash, make_request
from tests.builders import ask, make_request_for, user

# Few values of each part, so that hypothesis meets equal and different ones alike.
TEXTS = st.sampled_from(["", "a", "b", "ä", "\ud800"])
MESSAGES = st.lists(
    st.builds(lambda role, content: Message(role=role, content=content), st.sampled_from(["user", "system"]), TEXTS),
    min_size=1,
    max_size=2,
)


class Contents(NamedTuple):
    """Everything a prompt's id is bound to."""

    name: str
    messages: list[Message]
    answer: str | None
    solution: str | None
    meta: dict[str, Any]


CONTENTS = st.builds(
    Contents,
    st.sampled_from(["a", "b", "a#1"]),
    MESSAGES,
    st.none() | TEXTS,
    st.none() | TEXTS,
    st.dictionaries(st.sampled_from(["level", "steps"]), st.integers(0, 1) | st.lists(st.integers(0, 1), max_size=2)),
)


class Asked(NamedTuple):
    """Everything that can change the text of a reply."""

    stage: Stage
    prompt: str
    upstream: str
    messages: list[Message]
    sampling: Sampling
    identity: dict[str, Any]
    run_seed: int
    sample: int


ASKED = st.builds(
    Asked,
    st.sampled_from(["draft", "critique", "refinement", "prediction"]),
    st.sampled_from(["1 + 1?", "2 + 2?"]),
    st.sampled_from(["", "ab" * 32]),
    MESSAGES,
    st.builds(
        Sampling,
        max_tokens=st.sampled_from([1, 2]),
        temperature=st.sampled_from([0.0, 1.0]),
        top_p=st.sampled_from([0.5, 1.0]),
    ),
    st.fixed_dictionaries({"model": st.sampled_from(["m", "n"])}, optional={"revision": st.none() | st.just("r1")}),
    st.integers(0, 1),
    st.integers(0, 1),
)


def request_for(asked: Asked, **known: str) -> Request:
    record = Record(Prompt.create("item", user(asked.prompt)), key=asked.upstream, **known)
    return make_request(
        asked.stage, record, asked.messages, asked.sampling, asked.identity, asked.run_seed, asked.sample
    )


# Keys


@settings(deadline=None)
@given(ASKED, ASKED)
def test_two_requests_have_one_key_exactly_where_nothing_differs_that_can_change_the_text(
    one: Asked, other: Asked
) -> None:
    assert (request_for(one).key == request_for(other).key) == (one == other)


CHANGES: dict[str, Any] = {
    "stage": "critique",
    "prompt": "2 + 2?",
    "upstream": "cd" * 32,
    "messages": [{"role": "system", "content": "1 + 1?"}],
    "sampling": Sampling(max_tokens=1),
    "identity": {"model": "m", "revision": "r2"},
    "run_seed": 1,
    "sample": 1,
}


@pytest.mark.parametrize("part", Asked._fields)
def test_a_change_of_any_one_part_changes_the_key(part: str) -> None:
    asked = Asked("draft", "1 + 1?", "", [{"role": "user", "content": "1 + 1?"}], Sampling(), {"model": "m"}, 0, 0)
    assert request_for(asked).key != request_for(asked._replace(**{part: CHANGES[part]})).key


@settings(deadline=None)
@given(ASKED, st.sampled_from(["draft", "critique", "refinement"]), TEXTS)
def test_texts_that_the_upstream_key_stands_for_are_not_hashed_again(asked: Asked, part: str, text: str) -> None:
    assert request_for(asked).key == request_for(asked, **{part: text}).key


def test_where_a_prompt_was_read_and_how_options_are_ordered_does_not_change_the_key() -> None:
    here, there = (Prompt.create("item", user("1 + 1?"), source=source) for source in ("a.jsonl:1", "b.jsonl:9"))
    keys = {
        make_request("draft", Record(prompt), prompt.messages, Sampling(), identity, 0).key
        for prompt in (here, there)
        for identity in ({"model": "m", "dtype": "float32"}, {"dtype": "float32", "model": "m"})
    }
    assert len(keys) == 1


@settings(deadline=None)
@given(ASKED)
def test_a_key_is_64_hex_digits_and_the_same_in_every_process(asked: Asked) -> None:
    assert request_for(asked).key == request_for(asked).key
    assert len(request_for(asked).key) == 64
    assert set(request_for(asked).key) <= set("0123456789abcdef")


def test_a_key_never_changes_between_versions() -> None:
    """The keys of stored rows: if this digest moves, every run on disk is generated, and paid for, again."""
    request = request_for(Asked("draft", "1 + 1?", "", list(user("1 + 1?")), Sampling(), {"model": "m"}, 0, 0))
    prompt_id = request.record.prompt.id
    canonical = (
        f'{{"backend":{{"model":"m"}},"messages":[{{"content":"1 + 1?","role":"user"}}],"prompt":"{prompt_id}",'
        '"sample":0,"sampling":{"max_tokens":512,"temperature":0.0,"top_p":1.0},"seed":0,"stage":"draft","upstream":""}'
    )
    assert request.key == hashlib.sha256(canonical.encode()).hexdigest()


# Seeds


@pytest.mark.parametrize(
    ("start", "seed"),
    [("00000000", 0), ("0000001f", 31), ("7fffffff", 2**31 - 1), ("80000001", 1), ("ffffffff", 2**31 - 1)],
)
def test_a_seed_is_the_low_31_bits_of_the_first_eight_digits_of_the_key(start: str, seed: int) -> None:
    """0x80000001 = 2**31 + 1, of which the low 31 bits are 1."""
    prompt = Prompt.create("item", user("?"))
    assert Request(start + "0" * 56, "draft", Record(prompt), prompt.messages, Sampling()).seed == seed


@settings(deadline=None)
@given(ASKED)
def test_a_seed_fits_into_31_bits(asked: Asked) -> None:
    assert 0 <= request_for(asked).seed < 2**31


def test_samples_of_one_context_have_seeds_of_their_own() -> None:
    record = Record(Prompt.create("item", user("1 + 1?")))
    assert len({ask("draft", record, "m", sample).seed for sample in range(100)}) == 100


# Prompts and records


@settings(deadline=None)
@given(CONTENTS, CONTENTS)
def test_one_id_never_names_two_prompts(one: Contents, other: Contents) -> None:
    assert (Prompt.create(*one[:4], meta=one.meta).id == Prompt.create(*other[:4], meta=other.meta).id) == (
        one == other
    )


def test_an_id_is_the_readable_name_and_eight_digits() -> None:
    """The digits are the first of SHA-256 over [messages, answer, solution, meta]."""
    text = '[[{"content":"1 + 1?","role":"user"}],"2",null,{}]'
    prompt = Prompt.create("sums/1", user("1 + 1?"), answer="2")
    assert prompt.id == f"sums/1#{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def test_a_record_goes_one_stage_further_without_changing_the_one_before() -> None:
    record = Record(Prompt.create("item", user("?")))
    drafted = record.with_reply("draft", "d" * 64, "2")
    criticised = drafted.with_reply("critique", "c" * 64, "right")
    assert (record.draft, record.key) == (None, "")
    assert (drafted.draft, drafted.critique, drafted.key) == ("2", None, "d" * 64)
    assert (criticised.draft, criticised.critique, criticised.key) == ("2", "right", "c" * 64)


def test_records_of_one_prompt_are_told_apart_by_their_last_reply() -> None:
    prompt = Prompt.create("item", user("?"))
    first, second = (Record(prompt).with_reply("draft", key * 64, "2") for key in "ab")
    assert Record(prompt).id == prompt.id
    assert first.id == f"{prompt.id}:aaaaaaaaaaaa"
    assert first.id != second.id


# Hashes


def test_a_hash_is_of_the_canonical_json() -> None:
    expected = hashlib.sha256('{"a":[1,null,true],"é":"ü"}'.encode()).hexdigest()
    assert content_hash({"é": "ü", "a": [1, None, True]}) == expected


def test_a_half_of_a_surrogate_pair_can_be_hashed() -> None:
    assert content_hash("\ud800") != content_hash("?")


def test_a_request_keeps_what_it_asks_for() -> None:
    request = make_request_for("1 + 1?", "critique", key="ab" * 32, draft="2")
    assert (request.stage, request.messages, request.record.draft) == ("critique", user("1 + 1?"), "2")
