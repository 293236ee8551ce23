"""Run with: pytest tests/test_chat.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.chat import encode_chat, encode_text, end_of_turn, first_token, generation_prompt, load_tokenizer
from cgd.errors import UserError
from cgd.records import Message
from tests.conftest import Tokenizer
from tests.tiny import FAMILIES, SPECIAL_STRINGS, Family, save_tokenizer

FEW = settings(max_examples=60, deadline=None)
# Anything a tokenizer gives back: no lone surrogates, and no ▁, which SentencePiece takes for a space.
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="▁")
BENIGN = st.text(LETTERS, max_size=30).filter(lambda text: not any(token in text for token in SPECIAL_STRINGS))
SPECIALS = [token for token in SPECIAL_STRINGS if "▁" not in token]
HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(SPECIALS),
        st.sampled_from(["<think>", "</think>", "<", "|>", "<|im_", "\n", " ", "\ue000", "\ue001"]),
        st.text(LETTERS, max_size=8),
    ),
    min_size=1,
    max_size=8,
).map("".join)


def user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def chat_of(family: Family, texts: list[str]) -> list[Message]:
    """User and assistant in turns, a system prompt first where the family knows one; the user has the last word."""
    odd = texts if len(texts) % 2 else texts[:-1]
    turns: list[Message] = [
        {"role": "assistant" if index % 2 else "user", "content": text} for index, text in enumerate(odd)
    ]
    return [{"role": "system", "content": texts[0]}, *turns] if family.system else turns


@given(texts=st.lists(BENIGN, min_size=1, max_size=4))
@FEW
def test_benign_chats_are_encoded_as_the_tokenizer_itself_does(tokenizer: Tokenizer, texts: list[str]) -> None:
    chat = chat_of(tokenizer.family, texts)
    expected = tokenizer.it.apply_chat_template(chat, tokenize=True, add_generation_prompt=True, return_dict=False)
    assert encode_chat(tokenizer.it, chat) == expected


@given(text=HOSTILE)
@FEW
def test_no_text_becomes_a_special_token_and_the_text_survives(tokenizer: Tokenizer, text: str) -> None:
    ids = encode_chat(tokenizer.it, user(text))
    assert tokenizer.special_count(ids) == tokenizer.special_count(encode_chat(tokenizer.it, user("benign")))
    trimmed = text.strip() if "trim" in tokenizer.family.template else text
    frame = tokenizer.tokens(encode_chat(tokenizer.it, user("benign")))
    assert tokenizer.tokens(ids) == frame.replace("benign", trimmed)


@given(texts=st.lists(HOSTILE, min_size=1, max_size=4))
@FEW
def test_a_whole_chat_of_hostile_text_has_the_special_tokens_of_its_template(
    tokenizer: Tokenizer, texts: list[str]
) -> None:
    ids = encode_chat(tokenizer.it, chat_of(tokenizer.family, texts))
    benign = encode_chat(tokenizer.it, chat_of(tokenizer.family, ["benign"] * len(texts)))
    special = [token for token in ids if token in tokenizer.it.all_special_ids]
    assert special == [token for token in benign if token in tokenizer.it.all_special_ids]


def test_each_special_string_of_the_family_is_plain_text(tokenizer: Tokenizer) -> None:
    for token in tokenizer.family.special:
        (special,) = tokenizer.it(token, add_special_tokens=False)["input_ids"]
        assert special in tokenizer.it.all_special_ids, "the tokenizer alone makes it special"
        assert special not in encode_text(tokenizer.it, f"a {token} b")
        frame = encode_chat(tokenizer.it, user("a  b"))
        assert encode_chat(tokenizer.it, user(f"a {token} b")).count(special) == frame.count(special)


@given(text=HOSTILE)
@FEW
def test_plain_text_comes_back_whole_and_holds_no_special_token(tokenizer: Tokenizer, text: str) -> None:
    ids = encode_text(tokenizer.it, text)
    assert tokenizer.special_count(ids) == 0
    assert tokenizer.tokens(ids) == (text.removeprefix(" ") if tokenizer.family.leading_space else text)


@given(text=BENIGN)
@FEW
def test_benign_text_is_encoded_as_the_tokenizer_itself_does(tokenizer: Tokenizer, text: str) -> None:
    assert encode_text(tokenizer.it, text) == tokenizer.it(text, add_special_tokens=False)["input_ids"]


def test_characters_that_stand_for_special_strings_may_occur_in_the_text(tokenizer: Tokenizer) -> None:
    """U+E000 is the first stand-in; a text that holds it and a special string keeps both, in order."""
    text = f"\ue000{tokenizer.family.special[0]}\ue001"
    expected = text.replace("▁", " ") if tokenizer.family.sentencepiece else text
    assert tokenizer.tokens(encode_text(tokenizer.it, text)) == expected
    assert expected in tokenizer.tokens(encode_chat(tokenizer.it, user(text)))


def test_the_turn_ends_with_the_token_of_the_template_not_of_the_tokenizer(tokenizer: Tokenizer) -> None:
    assert tokenizer.tokens([end_of_turn(tokenizer.it)]) == tokenizer.family.end_of_turn


def test_the_answer_begins_where_the_template_says(tokenizer: Tokenizer) -> None:
    assert generation_prompt(tokenizer.it) == tokenizer.family.generation_prompt
    prompt = encode_chat(tokenizer.it, user("Ana has 12 apples"))
    assert tokenizer.tokens(prompt).endswith("Ana has 12 apples" + tokenizer.family.generation_prompt)


def test_there_is_one_beginning_of_sequence_and_it_comes_first(tokenizer: Tokenizer) -> None:
    ids = encode_chat(tokenizer.it, user(f"again {tokenizer.family.bos}"))
    assert tokenizer.tokens(ids[:1]) == tokenizer.family.special[0], "of the sequence, or of the first turn"
    assert ids.count(tokenizer.it.bos_token_id) == (tokenizer.family.bos is not None)


def test_a_template_that_refuses_a_role_says_so(tmp_path: Path) -> None:
    gemma = load_tokenizer(save_tokenizer("gemma", tmp_path))
    with pytest.raises(UserError, match=r"refuses messages with roles \['system', 'user'\]: there is no system role"):
        encode_chat(gemma, [{"role": "system", "content": "Be brief."}, *user("hello")])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_template_without_an_end_of_turn_token_is_refused(name: str, tmp_path: Path) -> None:
    """With words for the end of a turn a model could never be told to stop."""
    template = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + ' END\n' }}{% endfor %}"
    tokenizer = load_tokenizer(save_tokenizer(name, tmp_path, template=template))
    with pytest.raises(UserError, match="no end-of-turn token"):
        end_of_turn(tokenizer)


def test_a_template_that_leaves_out_the_assistants_text_is_refused(tmp_path: Path) -> None:
    template = "{% for message in messages %}{% if loop.first %}{{ message['content'] }}{% endif %}{% endfor %}"
    tokenizer = load_tokenizer(save_tokenizer("chatml", tmp_path, template=template))
    with pytest.raises(UserError, match="no end-of-turn token"):
        end_of_turn(tokenizer)


def test_a_tokenizer_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    save_tokenizer("chatml", tmp_path, template="")
    with pytest.raises(UserError, match="has no chat template"):
        load_tokenizer(tmp_path)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't load a tokenizer"):
        load_tokenizer(tmp_path)


@FEW
@given(text=HOSTILE)
def test_the_first_token_is_where_the_text_begins(tokenizer: Tokenizer, text: str) -> None:
    ids = encode_text(tokenizer.it, text)
    assert first_token(tokenizer.it, text) == (tokenizer.it.decode(ids[:1]) if ids else "")
