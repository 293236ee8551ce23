"""Run with: pytest tests/generation/test_critique.py."""

from __future__ import annotations

from pathlib import Path

from cgd.config import CritiqueConfig
from cgd.generation import critique
from cgd.prompts import render
from cgd.records import Message, Prompt, Record, Request
from tests.builders import user

PROMPT = Prompt.create("item", user("1 + 1?"), answer="2", solution="gold solution")
DRAFTED = Record(PROMPT, draft="It is 3.", key="d" * 64)


def ask(record: Record, config: CritiqueConfig | None = None) -> Request:
    return critique.requests([record], config or CritiqueConfig(), {"model": "teacher"}, seed=0)[0]


def test_the_teacher_reads_prompt_and_draft_and_nothing_that_the_task_knows() -> None:
    (message,) = ask(DRAFTED).messages
    assert message == {"role": "user", "content": render("critique.jinja", prompt="1 + 1?", draft="It is 3.")}
    assert "gold" not in message["content"]


def test_a_chat_is_shown_as_a_transcript() -> None:
    chat: list[Message] = [{"role": "system", "content": "Be brief."}, *user("1 + 1?")]
    (message,) = ask(Record(Prompt.create("chat", chat), draft="3", key="d" * 64)).messages
    assert "<task>\nsystem: Be brief.\n\nuser: 1 + 1?\n</task>" in message["content"]


def test_a_critique_hangs_on_its_very_draft() -> None:
    """Two equal drafts of one prompt (two samples) have a critique each: the rows they hang on differ."""
    twin = Record(PROMPT, draft="It is 3.", key="e" * 64)
    assert ask(DRAFTED).messages == ask(twin).messages
    assert ask(DRAFTED).key != ask(twin).key


def test_every_draft_has_n_critiques_in_order() -> None:
    records = [DRAFTED, Record(PROMPT, draft="2", key="e" * 64)]
    requests = critique.requests(records, CritiqueConfig(n=2, temperature=0.7), {"model": "teacher"}, seed=0)
    assert [(request.record.draft, request.sample) for request in requests] == [
        ("It is 3.", 0),
        ("It is 3.", 1),
        ("2", 0),
        ("2", 1),
    ]
    assert len({request.key for request in requests}) == 4
    assert {request.stage for request in requests} == {"critique"}


def test_the_users_own_prompt_file_replaces_ours_and_changes_the_key(tmp_path: Path) -> None:
    path = tmp_path / "own.jinja"
    path.write_text("Judge {{ draft }} as an answer to {{ prompt }}")
    request = ask(DRAFTED, CritiqueConfig(prompt=str(path)))
    assert request.messages == user("Judge It is 3. as an answer to 1 + 1?")
    assert request.key != ask(DRAFTED).key


def test_the_place_of_a_prompt_file_is_not_in_the_key(tmp_path: Path) -> None:
    keys = set()
    for name in ("one.jinja", "two.jinja"):
        (tmp_path / name).write_text("Judge {{ draft }}")
        keys.add(ask(DRAFTED, CritiqueConfig(prompt=str(tmp_path / name))).key)
    assert len(keys) == 1
