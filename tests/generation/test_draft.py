"""Run with: pytest tests/generation/test_draft.py."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.config import DraftConfig
from cgd.generation import draft
from cgd.records import Prompt, Record
from tests.builders import make_prompts, user

IDENTITY = {"model": "m"}


def test_the_student_sees_the_prompt_as_it_stands() -> None:
    """Neither the answer nor the solution that the task knows is in the messages."""
    prompt = Prompt.create("item", user("1 + 1?"), answer="2", solution="1 + 1 = 2")
    (request,) = draft.requests([prompt], DraftConfig(max_tokens=9), IDENTITY, seed=0)
    assert request.messages == prompt.messages
    assert request.record == Record(prompt)
    assert (request.stage, request.sampling.max_tokens, request.sample) == ("draft", 9, 0)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 4))
def test_every_prompt_has_n_samples_with_keys_of_their_own(prompts: int, n: int) -> None:
    config = DraftConfig(n=n, temperature=1.0)
    requests = draft.requests(make_prompts([f"{i}?" for i in range(prompts)]), config, IDENTITY, seed=0)
    assert [request.sample for request in requests] == list(range(n)) * prompts
    assert len({request.key for request in requests}) == prompts * n


def test_more_samples_keep_the_keys_of_the_first_ones() -> None:
    """Raising n makes only the new samples."""
    prompts = make_prompts(["1 + 1?", "2 + 2?"])
    few, many = (
        {r.key for r in draft.requests(prompts, DraftConfig(n=n, temperature=1.0), IDENTITY, seed=0)} for n in (2, 3)
    )
    assert few < many


def test_another_seed_or_student_asks_anew() -> None:
    prompts = make_prompts(["1 + 1?"])
    keys = {
        draft.requests(prompts, DraftConfig(), {"model": model}, seed)[0].key for model in ("m", "n") for seed in (0, 1)
    }
    assert len(keys) == 4
