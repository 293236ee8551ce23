"""Run with: pytest tests/test_overlap.py."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.overlap import WORDS, Overlap, OverlapIndex

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def spell(letters: str) -> str:
    """One word a letter."""
    return " ".join(letters)


def search(text: str, *tests: str) -> list[tuple[int, float, bool]]:
    return [(found.test, found.share, found.equal) for found in OverlapIndex({"task": tests}).search([text])]


def test_thirteen_words_in_a_row_are_an_overlap_and_twelve_are_none() -> None:
    """The test prompt has 14 words, two n-grams: a to m, b to n."""
    assert search(spell("xxabcdefghijklm"), spell("abcdefghijklmn")) == [(0, 0.5, False)]
    assert search(spell("xxabcdefghijkl"), spell("abcdefghijklmn")) == []


def test_case_white_space_and_punctuation_do_not_count() -> None:
    text = "Ann, Ben and Cal have 3 pens; how many pens have they, all in all?"
    assert search("ann ben AND cal\nhave 3 pens how\tmany pens have they all in (all)", text) == [(0, 1.0, True)]


def test_a_longer_text_that_holds_all_of_a_test_prompt_has_all_its_ngrams_and_is_not_equal() -> None:
    assert search(spell("zz" + LETTERS[:15] + "zz"), spell(LETTERS[:15])) == [(0, 1.0, False)]


def test_short_texts_are_found_by_equality_alone() -> None:
    assert search("What is 2 + 2", "what is 2 + 2?") == [(0, 1.0, True)]
    assert search("Say what is 2 + 2", "what is 2 + 2?") == []


@pytest.mark.parametrize("text", ["", "?!", " \n"])
def test_texts_without_words_overlap_nothing(text: str) -> None:
    assert search(text, "", "?!", " \n", spell(LETTERS)) == []


def test_an_ngram_counts_once_however_often_the_text_has_it() -> None:
    """One of two n-grams, three times over."""
    assert search(spell("abcdefghijklmz" * 3), spell("abcdefghijklmn")) == [(0, 0.5, False)]


def test_the_instruction_that_a_tasks_prompts_end_with_is_no_overlap() -> None:
    """Of four prompts all end with the same 13 words: more than half of them."""
    instruction = spell(LETTERS[:WORDS])
    prompts = [f"{question} {instruction}" for question in ("one", "two", "three", "four")]
    assert search(f"five {instruction}", *prompts) == []
    assert search(f"two {instruction}", *prompts) == [(1, 1.0, True)], "the whole prompt is still found"


def test_what_more_than_ten_prompts_of_a_task_share_is_an_instruction_and_what_ten_share_is_not() -> None:
    shared = spell(LETTERS[:WORDS])
    for n, hits in ((10, 10), (11, 0)):
        prompts = [f"q{index} {shared}" for index in range(n)] + [f"other {index}" for index in range(30)]
        assert len(search(f"new {shared}", *prompts)) == hits


def test_texts_and_test_prompts_are_named_by_their_places() -> None:
    index = OverlapIndex({"sums": ["nothing", spell(LETTERS)], "empty": [], "words": [spell(LETTERS[:20])]})
    assert index.search(["none", spell(LETTERS), spell(LETTERS[:20])]) == [
        Overlap(1, "sums", 1, 1.0, True),
        Overlap(1, "words", 0, 1.0, False),
        Overlap(2, "sums", 1, 8 / 14, False),
        Overlap(2, "words", 0, 1.0, True),
    ]


def test_without_texts_or_tests_there_is_nothing_to_find() -> None:
    assert OverlapIndex({}).search([spell(LETTERS)]) == []
    assert OverlapIndex({"task": [spell(LETTERS)]}).search([]) == []


few_words = st.lists(st.sampled_from("abc"), max_size=40)


@settings(max_examples=200)
@given(text=few_words, test=few_words)
def test_it_agrees_with_a_comparison_of_all_ngrams(text: list[str], test: list[str]) -> None:
    def ngrams(words: list[str]) -> set[tuple[str, ...]]:
        return {tuple(words[start : start + WORDS]) for start in range(len(words) - WORDS + 1)}

    shared = len(ngrams(text) & ngrams(test))
    equal = bool(test) and text == test
    expected = [(0, 1.0 if equal else shared / len(ngrams(test)), equal)] if equal or shared else []
    assert search(" ".join(text), " ".join(test)) == expected


def test_many_long_texts_are_searched_in_seconds() -> None:
    """Of 4,000 texts of 200 words every fortieth holds 20 words of one of 10,000 test prompts of 60 words."""
    generator = random.Random(0)
    vocabulary = [f"word{number}" for number in range(5000)]
    tests = [" ".join(generator.choices(vocabulary, k=60)) for _ in range(10_000)]
    texts = [" ".join(generator.choices(vocabulary, k=200)) for _ in range(4000)]
    for number in range(0, 4000, 40):
        texts[number] += " " + " ".join(tests[number].split()[10:30])
    started = time.process_time()
    found = OverlapIndex({"task": tests}).search(texts)
    assert [(one.text, one.test, round(one.share * 48)) for one in found] == [(n, n, 8) for n in range(0, 4000, 40)]
    assert time.process_time() - started < 20
