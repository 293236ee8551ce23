"""Run with: pytest tests/test_text.py."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cgd.backends.tutor.diagnosis import WORDS
from cgd.records import Stage
from cgd.text import PARSERS, break_special_tokens, critique_verdict, encodable, normalise, parse_reply

JOINER = "\u2060"
SPECIAL = [
    "<|im_start|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|endoftext|>",
    "<|reserved_special_token_0|>",
    "<｜User｜>",
    "<｜end▁of▁sentence｜>",
    "<s>",
    "</s>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<bos>",
    "<eos>",
    "<pad>",
    "<unk>",
    "[INST]",
    "[/INST]",
]
# Whatever can be put together from the letters of control tokens, nested and overlapping.
TANGLES = st.lists(st.sampled_from([*SPECIAL, "<", ">", "|", "<|", "|>", "<｜", "｜>", "[", "]", "/", "a", " "])).map(
    "".join
)


# Parsing replies


def test_every_stage_has_a_parsing_rule_with_a_version() -> None:
    assert set(PARSERS) == set(get_args(Stage))
    assert all(rule.rpartition("/")[2].isdecimal() for rule in PARSERS.values())


@pytest.mark.parametrize("stage", ["draft", "prediction"])
@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (" 1 + 1 = 2\n", "1 + 1 = 2"),
        ("", ""),
        ("\n \n", ""),
        ("Sure, here is the answer:\n2", "Sure, here is the answer:\n2"),
        ("<think>2?</think>2", "<think>2?</think>2"),
    ],
)
def test_what_the_student_wrote_stands_as_it_is_but_for_outer_white_space(stage: str, raw: str, text: str) -> None:
    assert parse_reply(stage, raw) == text


@pytest.mark.parametrize("stage", ["critique", "refinement"])
@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("The second step is wrong.", "The second step is wrong."),
        ("<think>hm\n\nso</think>\n\nThe step is wrong.", "The step is wrong."),
        ("<think>a</think>One <think>b</think>two", "One two"),
        ("the template opened the block</think>\nThe step is wrong.", "The step is wrong."),
        ("Sure, here is the critique:\n\nThe step is wrong.", "The step is wrong."),
        ("HERE'S my critique:\nThe step is wrong.", "The step is wrong."),
        ("<think>a</think>Certainly! Here are the faults: \n1. The sum.", "1. The sum."),
        ("Here is what is wrong: the sum.", "Here is what is wrong: the sum."),
        ("Okay. The sum is wrong.\nSee:\n1 + 1", "Okay. The sum is wrong.\nSee:\n1 + 1"),
        ("Surely this is wrong:\nthe sum", "Surely this is wrong:\nthe sum"),
        ("First line.\nHere is the rest:\nmore", "First line.\nHere is the rest:\nmore"),
    ],
)
def test_thoughts_and_a_leading_announcement_of_the_teacher_are_cut(stage: str, raw: str, text: str) -> None:
    assert parse_reply(stage, raw) == text


@pytest.mark.parametrize(
    "raw", ["", " \n", "<think>all of it</think>", "<think>a</think>\n", "Sure, here it is:", "a</think>"]
)
def test_a_teacher_that_says_nothing_has_no_text(raw: str) -> None:
    assert parse_reply("critique", raw) is None


@settings(deadline=None)
@given(st.sampled_from(sorted(PARSERS)), st.text() | TANGLES)
def test_a_parsed_text_comes_from_the_raw_one_and_has_no_outer_white_space(stage: str, raw: str) -> None:
    text = parse_reply(stage, raw)
    assert text is None or (text == text.strip() and len(text) <= len(raw))


# Normalisation


def test_case_and_white_space_do_not_count() -> None:
    assert normalise("  How MANY\n\tapples? ") == normalise("how many apples?") == "how many apples?"
    assert normalise("STRASSE") == normalise("straße")
    assert normalise("1 2") != normalise("12")


@settings(deadline=None)
@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@settings(deadline=None)
@given(st.lists(st.text("abC"), min_size=1), st.sampled_from([" ", "\n", "\t ", "\u00a0"]))
def test_any_white_space_between_words_is_one_space(words: list[str], space: str) -> None:
    assert normalise(space.join(words)) == normalise(" ".join(words))


# Special tokens


@pytest.mark.parametrize("token", SPECIAL)
def test_a_control_token_is_broken_after_its_first_character(token: str) -> None:
    assert break_special_tokens(f"a {token} b") == (f"a {token[0]}{JOINER}{token[1:]} b", 1)


@pytest.mark.parametrize("text", ["a < b | c > d", "x<|>y", "<b>bold</b>", "[1]", "if a <s and b> c", "<| not one |>"])
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert break_special_tokens(text) == (text, 0)


@settings(deadline=None)
@given(TANGLES)
@example("<|[INST]|>")
@example("<｜[/INST]｜>")
def test_no_control_token_is_left_and_nothing_but_joiners_was_added(text: str) -> None:
    safe, broken = break_special_tokens(text)
    assert break_special_tokens(safe) == (safe, 0)
    assert safe.replace(JOINER, "") == text
    assert safe.count(JOINER) == broken
    assert not [token for token in SPECIAL if token in safe]


# Surrogates


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert encodable("a\ud800b\udfff") == "a?b?"


@settings(deadline=None)
@given(st.text(st.characters()))
def test_every_text_can_be_stored_afterwards_and_a_good_one_is_unchanged(text: str) -> None:
    stored = encodable(text).encode("utf-8").decode("utf-8")
    assert len(stored) == len(text)
    assert all(
        before == after or (after == "?" and "\ud800" <= before <= "\udfff")
        for before, after in zip(text, stored, strict=True)
    )


def test_a_think_block_that_never_ends_leaves_no_text() -> None:
    assert parse_reply("critique", "<think>the draft seems") is None


# Verdicts of critiques


@pytest.mark.parametrize(
    ("critique", "verdict"),
    [
        ("The second step is fine.\nVerdict: wrong", "wrong"),
        ("A step looks wrong, but it is not.\n**Verdict: Right**", "right"),
        ("Verdict: wrong\nOn a second look ...\nVerdict: correct.", "right"),
        ("The answer is incorrect.", "wrong"),
        ("Your answer doesn't follow the format.", "wrong"),
        ("There are no mistakes; the answer is correct.", "right"),
        ("Everything is right, nothing is missing.", "right"),
        ("Thank you for this interesting text.", None),
        ("", None),
    ],
)
def test_a_verdict_line_decides_and_without_one_the_words_do(critique: str, verdict: str | None) -> None:
    assert critique_verdict(critique) == verdict


@pytest.mark.parametrize("kind", WORDS)
def test_the_worked_solution_teacher_is_understood(kind: str) -> None:
    sentence = WORDS[kind].format(quote="3 + 4 = 7", step="second", number="9")
    assert critique_verdict(sentence) == ("right" if kind == "right" else "wrong")
