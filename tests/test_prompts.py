"""Run with: pytest tests/test_prompts.py."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd import prompts
from cgd.errors import UserError
from cgd.prompts import conversation_text, render, student_context, template_hashes
from cgd.records import Message
from tests.builders import user

PACKAGED = ["control.jinja", "critique.jinja", "refinement.jinja", "student.jinja"]
HOSTILE = [
    "{{ 7*7 }}",
    "{% for i in range(9) %}x{% endfor %}",
    "{# gone #}",
    "{{ cycler.__init__.__globals__ }}",
    "</task>",
]
TEXTS = st.text(st.characters(codec="utf-8"))
CHAT: tuple[Message, ...] = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "1 + 1?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "And 2 + 2?"},
)


def own(tmp_path: Path, text: str) -> str:
    path = tmp_path / "own.jinja"
    path.write_text(text, encoding="utf-8")
    return str(path)


def last(context: tuple[Message, ...]) -> str:
    return context[-1]["content"]


# The student's contexts


def test_contexts_extend_one_another_up_to_the_instruction() -> None:
    """x, then (x, y'), then (x, y', c), each the beginning of the next; the instruction comes last."""
    x = user("1 + 1?")
    critique = last(student_context(x, wanted="critique", draft="It is 3."))
    refine = last(student_context(x, wanted="refinement", draft="It is 3."))
    full = last(student_context(x, wanted="refinement", draft="It is 3.", critique="No, count again."))
    shared = "1 + 1?\n\nDraft answer:\nIt is 3.\n\n"
    assert critique == shared + "Write a critique of the draft answer."
    assert refine == shared + "Write the improved answer."
    assert full == shared + "Critique of the draft:\nNo, count again.\n\nWrite the improved answer."


@settings(deadline=None)
@given(TEXTS, TEXTS, TEXTS)
def test_whatever_the_texts_contexts_extend_one_another(prompt: str, draft: str, critique: str) -> None:
    x = user(prompt)
    shorter = last(student_context(x, wanted="refinement", draft=draft))
    longer = last(student_context(x, wanted="refinement", draft=draft, critique=critique))
    shared = f"{prompt}\n\nDraft answer:\n{draft}\n\n"
    assert shorter == f"{shared}Write the improved answer."
    assert longer == f"{shared}Critique of the draft:\n{critique}\n\nWrite the improved answer."


def test_only_the_last_message_of_a_chat_is_extended() -> None:
    context = student_context(CHAT, wanted="critique", draft="4")
    assert context[:-1] == CHAT[:-1]
    assert context[-1]["role"] == "user"
    assert last(context).startswith("And 2 + 2?\n\nDraft answer:\n4\n\n")


def test_an_empty_critique_is_not_the_same_as_none() -> None:
    x = user("1 + 1?")
    assert "Critique" in last(student_context(x, wanted="refinement", draft="2", critique=""))
    assert "Critique" not in last(student_context(x, wanted="refinement", draft="2"))


# The teacher's prompts


def test_one_user_message_is_shown_to_the_teacher_as_it_stands() -> None:
    assert conversation_text(user("1 + 1?\n\nBe brief.")) == "1 + 1?\n\nBe brief."


def test_a_chat_is_shown_to_the_teacher_with_its_roles() -> None:
    assert conversation_text(CHAT) == "system: Be brief.\n\nuser: 1 + 1?\n\nassistant: 2\n\nuser: And 2 + 2?"


def test_the_teacher_reads_prompt_draft_and_critique_each_in_its_place() -> None:
    critique = render("critique.jinja", prompt="1 + 1?", draft="It is 3.")
    assert "<task>\n1 + 1?\n</task>" in critique
    assert "<answer>\nIt is 3.\n</answer>" in critique
    refinement = render("refinement.jinja", prompt="1 + 1?", draft="It is 3.", critique="Count again.")
    assert "<critique>\nCount again.\n</critique>" in refinement
    assert refinement.index("<task>") < refinement.index("<answer>") < refinement.index("<critique>")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_that_looks_like_a_template_is_not_evaluated(hostile: str) -> None:
    assert f"\n{hostile}\n" in render("critique.jinja", prompt="1 + 1?", draft=hostile)
    assert f"\n{hostile}\n" in render("refinement.jinja", prompt="1 + 1?", draft="2", critique=hostile)
    assert f"\n{hostile}\n" in last(student_context(user("1 + 1?"), wanted="refinement", draft=hostile, critique="x"))
    assert f"{hostile}\n\nDraft" in last(student_context(user(hostile), wanted="critique", draft="x"))


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_model_text_reaches_the_teacher_unchanged(prompt: str, draft: str) -> None:
    """No HTML escapes, no cut white space: the teacher judges the very draft."""
    assert f"<task>\n{prompt}\n</task>" in render("critique.jinja", prompt=prompt, draft=draft)
    assert f"<answer>\n{draft}\n</answer>" in render("critique.jinja", prompt=prompt, draft=draft)


# The user's own templates


def test_a_template_of_the_users_own_is_read_from_its_path(tmp_path: Path) -> None:
    template = own(tmp_path, "\n  Prüfe: {{ draft }} zu {{ prompt }}\n")
    assert render(template, prompt="1 + 1?", draft="3") == "Prüfe: 3 zu 1 + 1?"


def test_the_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"can't read prompt file .*none\.jinja"):
        render(str(tmp_path / "none.jinja"), prompt="x")
    with pytest.raises(UserError, match="can't read prompt file"):
        render(str(tmp_path), prompt="x")


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_bytes("Prüfe".encode("latin-1"))
    with pytest.raises(UserError, match=r"can't read prompt file .*own\.jinja"):
        render(str(tmp_path / "own.jinja"), prompt="x")


@pytest.mark.parametrize(
    "text",
    [
        "{{ draft",
        "{% if draft %}",
        "{{ critique }}",
        "{{ drafft }}",
        "{{ draft.no_such_thing }}",
        "{{ draft.__class__.__mro__ }}",
        "{{ 1 / 0 }}",
        "{{ draft + 1 }}",
        "{{ range(10 ** 9) | list }}",
        "{{ draft | no_such_filter }}",
        "{% include 'critique.jinja' %}",
    ],
)
def test_a_faulty_template_is_the_users_mistake_and_the_values_are_named(tmp_path: Path, text: str) -> None:
    template = own(tmp_path, text)
    with pytest.raises(UserError) as caught:
        render(template, prompt="1 + 1?", draft="3")
    assert str(caught.value).startswith(f"prompt file {template}: ")
    assert str(caught.value).endswith("values it may use: draft, prompt")


# Hashes


def test_a_manifest_can_tell_a_changed_prompt_file_from_the_old_one(tmp_path: Path) -> None:
    template = own(tmp_path, "{{ draft }}")
    assert template_hashes([template]) == {template: hashlib.sha256(b"{{ draft }}").hexdigest()}
    before = template_hashes([template])
    own(tmp_path, "{{ draft }}!")
    assert template_hashes([template]) != before


def test_the_packaged_prompts_are_there_and_hash_by_name() -> None:
    folder = Path(prompts.__file__).parent
    assert sorted(path.name for path in folder.glob("*.jinja")) == PACKAGED
    assert template_hashes(PACKAGED) == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in PACKAGED
    }
