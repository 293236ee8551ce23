"""Run with: pytest tests/test_grading_instructions.py. IFEval's checkers, in their process."""

from __future__ import annotations

import json
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cgd import grading_instructions
from cgd.errors import UserError
from cgd.grading_instructions import follow, require_checkers, sentence_data
from cgd.wheels import Wheel
from tests.backends.real_weights import own_cache

DOUBLE = r"""
import json, os, sys, time
os.write(1, b"ready\n")
for line in sys.stdin:
    prediction, instructions = json.loads(line)
    if prediction == "exit":
        os._exit(7)
    if prediction == "sleep":
        time.sleep(60)
    os.write(1, b"1 1\n" if prediction == instructions else b"0 1\n")
"""


@pytest.fixture(scope="module", autouse=True)
def the_users_cache(cache_of_the_user: str | None) -> Iterator[None]:
    """The sentence data of the user's cache, fetched there if need be."""
    with own_cache(cache_of_the_user):
        yield


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another child in the place of the checkers."""
    checkers = grading_instructions._Checkers()
    monkeypatch.setattr(grading_instructions, "_CHECKERS", checkers)
    monkeypatch.setattr(grading_instructions, "COMMAND", (sys.executable, "-c", DOUBLE))
    yield
    checkers.stop()


def instructions(*named: tuple[str, dict[str, Any]]) -> str:
    return json.dumps({"instruction_id_list": [name for name, _ in named], "kwargs": [kwargs for _, kwargs in named]})


NO_COMMA: tuple[str, dict[str, Any]] = ("punctuation:no_comma", {})
THREE_BULLETS = ("detectable_format:number_bullet_lists", {"num_bullets": 3})
FEW_WORDS = ("length_constraints:number_words", {"relation": "less than", "num_words": 5})
TWO_SENTENCES = ("length_constraints:number_sentences", {"relation": "less than", "num_sentences": 3})
ENGLISH_CAPITALS: tuple[str, dict[str, Any]] = ("change_case:english_capital", {})


@pytest.mark.parametrize(
    ("prediction", "asked", "verdicts"),
    [
        ("No commas at all.", [NO_COMMA], (True, True)),
        ("One, two.", [NO_COMMA], (False, False)),
        ("Sure, here it is:\nNo commas at all.", [NO_COMMA], (False, True)),  # without its first line
        ("* a\n* b\n* c", [THREE_BULLETS], (True, True)),
        ("* a\n* b", [THREE_BULLETS], (False, False)),
        ("One two three four.", [FEW_WORDS], (True, True)),
        ("One two three four five.", [FEW_WORDS], (False, False)),
        ("Dr. Smith came. He left.", [TWO_SENTENCES], (True, True)),  # the splitter knows "Dr."
        ("He came. He saw. He left.", [TWO_SENTENCES], (False, False)),
        ("THIS IS AN ENGLISH SENTENCE IN CAPITALS.", [ENGLISH_CAPITALS], (True, True)),
        ("* a\n* b\n* c, d", [THREE_BULLETS, NO_COMMA], (False, True)),  # loosely, each in a form of its own
        ("", [NO_COMMA], (False, False)),
    ],
)
def test_strict_and_loose_verdicts(
    prediction: str, asked: list[tuple[str, dict[str, Any]]], verdicts: tuple[bool, bool]
) -> None:
    assert follow(prediction, instructions(*asked)) == verdicts


def test_arguments_that_are_null_are_the_same_as_absent_ones() -> None:
    """The hub's rows have every argument of every instruction, null where it is not used."""
    padded = (THREE_BULLETS[0], {"num_bullets": 3, "num_words": None, "relation": None})
    assert follow("* a\n* b\n* c", instructions(padded)) == (True, True)


@pytest.mark.parametrize(
    "asked",
    [
        "not json",
        "[]",
        "{}",
        instructions(("no:such_instruction", {})),
        instructions((NO_COMMA[0], {"no_such_argument": 1})),
        json.dumps({"instruction_id_list": [NO_COMMA[0]], "kwargs": []}),
        # Not a letter, and no number: the checkers would draw them by lot.
        instructions(("keywords:letter_frequency", {"letter": "#", "let_frequency": 4, "let_relation": "at least"})),
        instructions((THREE_BULLETS[0], {})),
    ],
)
def test_instructions_that_the_checkers_refuse_leave_a_prediction_unscored(asked: str) -> None:
    assert follow("some text", asked) is None
    assert follow("some text", instructions(NO_COMMA)) == (True, True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The real checkers, killed after half a second of computing."""
    checkers = grading_instructions._Checkers()
    monkeypatch.setattr(grading_instructions, "_CHECKERS", checkers)
    monkeypatch.setattr(grading_instructions, "LIMIT_S", 0.5)
    yield
    checkers.stop()


@pytest.mark.parametrize(
    ("hostile", "asked"),
    [
        ("a" * 40 + "b", ("keywords:existence", {"keywords": ["(a+)+$"]})),  # 2^40 ways to match
        ("x" + "\n" * 100_000 + "x", THREE_BULLETS),  # every line tried to the end of the text
        ("[" * 100_000, ("detectable_content:number_placeholders", {"num_placeholders": 1})),
    ],
)
def test_text_that_the_checkers_choke_on_is_unscored_and_the_next_one_is_not(
    hostile: str, asked: tuple[str, dict[str, Any]], impatient: None
) -> None:
    assert follow(hostile, instructions(asked)) is None
    assert follow("one two", instructions(NO_COMMA)) == (True, True)


@pytest.mark.parametrize("text", ["* a", "*", "a, ", "#", "x\ud800", "\0", "\U0001f600"])
def test_other_long_texts_are_scored_in_time(text: str) -> None:
    asked = instructions(TWO_SENTENCES, ("detectable_format:number_highlighted_sections", {"num_highlights": 1}))
    started = time.monotonic()
    assert follow("x" + text * (100_000 // len(text)) + "x", asked) is not None
    assert time.monotonic() - started < grading_instructions.LIMIT_S + 30


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(alphabet="ab ,.*\n-[]<>\"'#{}", max_size=60),
    asked=st.lists(
        st.sampled_from([NO_COMMA, THREE_BULLETS, FEW_WORDS, TWO_SENTENCES, ("detectable_format:title", {})]),
        min_size=1,
        max_size=3,
    ),
)
def test_what_is_followed_strictly_is_followed_loosely_and_again_the_same(
    text: str, asked: list[tuple[str, dict[str, Any]]]
) -> None:
    verdicts = follow(text, instructions(*asked))
    assert verdicts is not None
    assert verdicts[1] or not verdicts[0]
    assert follow(text, instructions(*asked)) == verdicts


def test_the_language_of_a_text_is_guessed_the_same_way_every_time() -> None:
    asked = instructions(("language:response_language", {"language": "de"}))
    short = "in an"
    assert len({follow(short, asked) for _ in range(10)}) == 1


# The process


def test_a_child_that_dies_costs_only_its_own_prediction(double: None) -> None:
    assert [follow(text, "a") for text in ("a", "exit", "a", "b")] == [(True, True), None, (True, True), (False, True)]


def test_a_child_that_hangs_without_computing_is_killed(double: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading_instructions, "LIMIT_S", 0.5)
    monkeypatch.setattr(grading_instructions, "BACKSTOP_S", 1.5)
    assert [follow(text, "a") for text in ("sleep", "a")] == [None, (True, True)]


def test_an_interrupted_question_is_never_answered_later(double: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert follow("a", "a") == (True, True)
    with monkeypatch.context() as patch:

        def interrupted(*_: Any) -> str:
            raise KeyboardInterrupt

        patch.setattr(grading_instructions, "_line", interrupted)
        with pytest.raises(KeyboardInterrupt):
            follow("b", "a")
    assert follow("a", "a") == (True, True)


def test_a_child_that_cannot_start_is_an_error_not_a_verdict(double: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading_instructions, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(RuntimeError, match="can't start"):
        follow("a", "a")


def test_several_threads_may_ask_at_once(double: None) -> None:
    found: dict[int, tuple[bool, bool] | None] = {}

    def ask(number: int) -> None:
        found[number] = follow(str(number), str(number % 2))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: (number < 2, True) for number in range(8)}


def test_without_the_harness_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(UserError, match=r"needs the package lm_eval: pip install 'cgd\[eval\]'"):
        require_checkers()


# Sentence data


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one package that pip finds, with sentence data in it; the cache is empty."""
    monkeypatch.setenv("CGD_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "wheels"
    folder.mkdir()
    settings = {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": "/dev/null"}
    for name, value in {**settings, "DISABLE_PIP_VERSION_CHECK": "1"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    path = folder / "llama_index_core-0.14.25-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("llama_index/core/_static/nltk_cache/tokenizers/punkt_tab/english/abbrev_types.txt", "dr")
        archive.writestr("llama_index/core/_static/nltk_cache/tokenizers/punkt_tab/danish/abbrev_types.txt", "hr")
        info = "llama_index_core-0.14.25.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llama-index-core\nVersion: 0.14.25\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_english_sentence_data_is_fetched_once(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = Wheel("llama-index-core==0.14.25", sha256(package.read_bytes()).hexdigest())
    monkeypatch.setattr(grading_instructions, "_PUNKT", wheel)
    folder = sentence_data()
    package.unlink()
    assert sentence_data() == folder
    names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    assert names == ["tokenizers/punkt_tab/english/abbrev_types.txt"]


def test_sentence_data_with_another_hash_is_not_unpacked(package: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"llama_index_core.* has sha256 .*: not unpacked"):
        sentence_data()
    assert list((tmp_path / "cache").iterdir()) == []


def test_sentence_data_that_cannot_be_fetched_say_where_to_put_them(package: Path, tmp_path: Path) -> None:
    package.unlink()
    with pytest.raises(UserError, match=r"can't download llama-index-core.*\n.*punkt_tab into .*cache/nltk/tokenizers"):
        sentence_data()
