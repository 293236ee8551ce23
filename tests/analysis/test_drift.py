"""Run with: pytest tests/analysis/test_drift.py."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.analysis.drift import drift, drift_of
from cgd.analysis.statistics import mean_interval, paired_interval, wilson_interval
from cgd.store import Store
from tests.builders import FAILED, RIGHT, WRONG, WRONG_FORMAT, add_predictions, make_prompts

RATES = ("strict_format", "lost_to_format", "critique_talk", "refinement_talk", "refusal", "repetition", "language")
GERMAN = "Zuerst zählen wir die roten Äpfel, dann die grünen, und am Ende rechnen wir beide zusammen."
ENGLISH = "First we count the red apples, then the green ones, and in the end we add the two numbers."


def reply(number: int, text: str | None = "Answer: 4", tokens: int = 10, **columns: Any) -> dict[str, Any]:
    """A right reply to the prompt of that number."""
    return {
        "prompt_id": str(number),
        "prompt": json.dumps([{"role": "user", "content": "What is 2 + 2?"}]),
        "text": text,
        "completion_tokens": tokens,
        **{"strict": 1, "flexible": 1, "format": 1, **columns},
    }


def replies(texts: Sequence[str], **columns: Any) -> list[dict[str, Any]]:
    return [reply(number, text, **columns) for number, text in enumerate(texts)]


def first_word(text: str) -> str:
    """In the place of a tokenizer."""
    return (text.split() or [""])[0]


def compared(rows: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return drift_of(rows, base, first_word)


def in_english(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Replies to a user who writes English, under a German system message."""
    messages = [{"role": "system", "content": GERMAN}, {"role": "user", "content": ENGLISH}]
    return replies(texts, prompt=json.dumps(messages))


def test_a_rate_stands_beside_base_with_its_paired_difference() -> None:
    """Of 12 replies 9 talk like a critique, of base's 3, all of which are among the 9: a difference of ½."""
    talk, plain = "Verdict: wrong", "Answer: 4"
    found = compared(replies([talk] * 9 + [plain] * 3), replies([talk] * 3 + [plain] * 9))
    assert tuple(found["rates"]) == RATES
    assert found["rates"]["critique_talk"] == {
        "rate": 0.75,
        "ci95": list(wilson_interval(9, 12)),
        "n": 12,
        "base": 0.25,
        "difference": 0.5,
        "difference_ci95": list(paired_interval([1.0] * 9 + [0.0] * 3, [1.0] * 3 + [0.0] * 9)),
        "n_paired": 12,
    }


@pytest.mark.parametrize(
    "name, text",
    [
        ("critique_talk", "The student's answer is wrong."),
        ("refinement_talk", "Here is the corrected solution: 4"),
        ("refusal", "I'm sorry, but I can't help with that."),
        ("repetition", "So the total is 4 apples. " * 5),
    ],
)
def test_every_kind_of_talk_has_its_own_rate(name: str, text: str) -> None:
    rates = compared(replies([text, "Answer: 4"]), replies(["Answer: 4"] * 2))["rates"]
    assert {rate: rates[rate]["rate"] for rate in RATES[2:6]} == {
        rate: 0.5 if rate == name else 0.0 for rate in RATES[2:6]
    }


def test_right_answers_in_another_format_are_lost_to_it() -> None:
    """Strict right on 1 of 4, flexible on 3 of 4: a gap of ½; an unscored reply tells nothing."""
    rows = [
        reply(0),
        reply(1, strict=0, format=0),
        reply(2, strict=0, format=0),
        reply(3, strict=0, flexible=0),
        reply(4, strict=None, flexible=None, format=None),
    ]
    rates = compared(rows, rows)["rates"]
    assert (rates["lost_to_format"]["rate"], rates["lost_to_format"]["n"]) == (0.5, 4)
    assert (rates["strict_format"]["rate"], rates["strict_format"]["n"]) == (0.5, 4)


def test_seeds_and_samples_of_a_prompt_are_averaged_first() -> None:
    """Prompt 0 talks in one of three replies, prompt 1 in its only one: (⅓ + 1) / 2."""
    talk = "Verdict: wrong"
    rows = [reply(0, talk), reply(0), reply(0), reply(1, talk)]
    rate = compared(rows, replies(["Answer: 4"] * 2))["rates"]["critique_talk"]
    assert (rate["rate"], rate["n"]) == (pytest.approx(2 / 3), 2)
    assert rate["ci95"] == list(mean_interval([1 / 3, 1.0]))


def test_the_length_ratio_is_of_means_on_the_same_prompts() -> None:
    """Means (20 + 40) / 2 and (10 + 20) / 2 on the two prompts of both: a ratio of 2 whichever are drawn."""
    rows = [reply(0, tokens=10), reply(0, tokens=30), reply(1, tokens=40), reply(2, tokens=999)]
    found = compared(rows, [reply(0, tokens=10), reply(1, tokens=20)])
    assert found["n"] == 2
    assert found["length"] == {"tokens": 30.0, "base": 15.0, "ratio": 2.0, "ci95": [2.0, 2.0]}


def test_a_length_ratio_has_an_interval_over_prompts() -> None:
    """Half of the prompts double, half stay: 1.5, and √(¼ / 100) of 10 tokens either way: 1.5 ± 1.96 · .05."""
    rows = [reply(prompt, tokens=20 if prompt % 2 else 10) for prompt in range(100)]
    length = compared(rows, [reply(prompt) for prompt in range(100)])["length"]
    assert length["ratio"] == pytest.approx(1.5)
    assert length["ci95"] == pytest.approx([1.402, 1.598], abs=0.02)


def test_first_tokens_are_compared() -> None:
    """Half of the replies open as base's do.

    P = (1/2, 1/2), Q = (1, 0): JSD = (1/2 ln(1/2 / 3/4) + 1/2 ln(1/2 / 1/4)) / 2 + ln(1 / 3/4) / 2 = 0.2158 nats.
    """
    base = replies(["So 4"] * 40)
    assert compared(replies(["So 5"] * 40), base)["first_token"]["jsd"] == 0
    assert compared(replies(["Let's see."] * 40), base)["first_token"]["jsd"] == pytest.approx(math.log(2))
    half = compared(replies(["So 5", "So 5", "Let's", "Let's"] * 10), base)["first_token"]["jsd"]
    assert half == pytest.approx(0.2158, abs=0.02)


def test_lengths_are_compared_by_half_octaves() -> None:
    """Of 64 to 90 tokens there is one class, of 91 to 127 the next: ⌊2 log₂⌋ is 12 and 13."""
    base = [reply(prompt, tokens=64 + prompt % 27) for prompt in range(40)]
    same = [reply(prompt, tokens=90 - prompt % 27) for prompt in range(40)]
    longer = [reply(prompt, tokens=91 + prompt % 37) for prompt in range(40)]
    assert compared(same, base)["length_distribution"]["jsd"] == 0
    assert compared(longer, base)["length_distribution"]["excess"] == pytest.approx(math.log(2))


def test_an_empty_reply_has_a_first_token_and_a_length_of_its_own() -> None:
    found = compared(replies([""] * 20, tokens=0), replies(["Answer: 4"] * 20))
    assert found["first_token"]["jsd"] == found["length_distribution"]["jsd"] == pytest.approx(math.log(2))
    assert found["length"]["ratio"] == 0
    assert compared(replies(["Answer: 4"]), replies([""], tokens=0))["length"]["ratio"] is None


def test_the_language_of_a_reply_is_compared_with_its_prompts() -> None:
    """The prompt is English: one reply in English, one in German, and one that shows none."""
    pytest.importorskip("py3langid")
    rate = compared(in_english([ENGLISH + "!", GERMAN, "7"]), in_english([ENGLISH + "?"] * 3))["rates"]["language"]
    assert (rate["rate"], rate["n"], rate["base"]) == (0.5, 2, 1)


def test_without_a_detector_there_is_no_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgd.analysis.drift.languages", lambda texts: None)
    assert compared(in_english([ENGLISH]), in_english([ENGLISH]))["rates"]["language"] == {
        **{"rate": None, "ci95": None, "n": 0, "base": None},
        **{"difference": None, "difference_ci95": None, "n_paired": 0},
    }


def test_replies_without_a_text_count_nowhere() -> None:
    found = compared([reply(0), reply(1, None)], replies(["Answer: 4"] * 2))
    assert (found["n"], found["rates"]["refusal"]["n"]) == (1, 1)


# ── a run ──


def test_a_runs_arms_are_compared_with_base_task_by_task(store: Store) -> None:
    """Format: base on all 4 replies, cft on 1 of 3, for one failed; paired on 3: ⅓ − 1."""
    prompts = make_prompts(["1 + 3?", "2 + 2?", "3 + 1?", "0 + 4?"])
    talk = WRONG_FORMAT._replace(text="The student's answer is wrong.", tokens=30)
    for task in ("sums", "words"):
        add_predictions(store, task, "base", prompts, [RIGHT, RIGHT, WRONG, WRONG])
        add_predictions(store, task, "cft", prompts, [talk, talk, RIGHT, FAILED])
    account = drift(store, ["base", "cft", "cgd"], ["sums", "words", "letters"], first_word)
    assert list(account) == ["sums", "words", "letters"]
    assert (list(account["sums"]), account["letters"]) == (["cft"], {})
    found = account["words"]["cft"]
    assert found["rates"]["strict_format"]["difference"] == pytest.approx(1 / 3 - 1)
    assert found["rates"]["critique_talk"]["rate"] == pytest.approx(2 / 3)
    assert found["rates"]["lost_to_format"]["rate"] == pytest.approx(2 / 3)
    assert found["length"]["ratio"] == pytest.approx(70 / 30)


outcomes = st.sampled_from([None, "", "Answer: 4", "Verdict: wrong", "I can't help with that.", "ha " * 60, ENGLISH])


@settings(max_examples=30, deadline=None)
@given(
    arm=st.lists(st.tuples(st.integers(0, 14), outcomes, st.integers(0, 99)), max_size=40),
    base=st.lists(st.tuples(st.integers(0, 14), outcomes, st.integers(0, 99)), max_size=40),
)
def test_whatever_the_replies_are_the_account_is_json(
    arm: list[tuple[int, str | None, int]], base: list[tuple[int, str | None, int]]
) -> None:
    found = compared([reply(*one) for one in arm], [reply(*one) for one in base])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for rate in found["rates"].values():
        if rate["difference"] is not None:
            assert rate["difference_ci95"][0] <= rate["difference"] <= rate["difference_ci95"][1]
