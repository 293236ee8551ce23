"""Run with: pytest tests/test_metatalk.py."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgd.backends.tutor.diagnosis import WORDS
from cgd.metatalk import ends_in_loop, has_critique_talk, has_refinement_talk, is_refusal

DATA = Path(os.environ.get("CGD_DATA", Path(__file__).parents[2] / "shared" / "data"))

CRITIQUES = [
    "The student's answer is wrong, for the tax was forgotten.",
    "The student’s final calculation is not quite there; the student's reasoning isn't right.",
    "The error is in step 2, where 4 apples become 5.",
    "The mistake lies in the second step: the discount is taken twice.",
    "A flaw appears in the calculation of the area.",
    "Verdict: wrong",
    "**Verdict:** right",
    "Good so far.\n- Final verdict: incorrect",
    "So the verdict is: [[correct]]",
    "Conclusion: wrong [END]",
    "First error step: 3\nReason: the rent is monthly.",
    "Incorrect Step: Step 2.",
    "Critique: the units are mixed up.",
    "The draft is correct, and nothing has to change.",
    "The draft is not entirely correct.",
    "The provided answer is partially right.",
    "The original solution misinterprets the question.",
    "The given solution contains a subtle error.",
    "Your answer is incorrect: 7 was asked for.",
    "Your solution skips the last sum.",
    "Your reasoning has two mistakes.",
    "This answer is wrong, since 9 is no prime.",
    "The solution correctly identifies the two rates.",
    "The response accurately describes the treaty.",
    "The student correctly finds the first sum but stops there.",
    "The student made a calculation error with the fractions.",
    "The student misread the price.",
    "You correctly set up the equation.",
    "Step 3 is incorrect.",
    "Step 1 is correct; step 2 is also right.",
    "The second step isn't right.",
    "There is an error in the third step.",
    "There are no mistakes in your solution.",
    "All of the steps are correct.",
]
REFINEMENTS = [
    "Here is the corrected solution:\n3 + 4 = 7",
    "Here's the revised answer.",
    "Here is my improved and corrected response: 12.",
    "Here is an updated version of the letter.",
    "Revised answer: 12",
    "### Corrected Solution\n5 * 6 = 30",
    "The corrected answer is 30.",
    "The improved answer is: 5.",
    "As pointed out in the critique, the tax comes last.",
    "The rate was, as noted by the reviewer, monthly.",
    "Based on the feedback, the total is 8.",
    "Following the critique, I add the tax first.",
    "Taking into account the provided feedback: 8.",
    "The critique is right about the tax.",
    "My previous answer forgot the tax.",
    "In contrast to the original answer, the tax is added.",
    "The mistake in the draft was the sign.",
    "I have corrected the mistake: 3 + 4 = 7.",
    "I've revised my answer.",
    "Let's correct the mistake in the sum.",
    "Correcting this error gives 12.",
    "Thank you for pointing that out.",
]
REFUSALS = [
    "I can't help with that.",
    "I’m sorry, but I can’t assist with that request.",
    "I cannot provide instructions for this.",
    "I'm unable to assist with this request.",
    "I am not able to generate such a text.",
    "As an AI, I have no opinion on it.",
    "As an AI language model, I do not have feelings.",
    "I'm just an AI assistant and know nothing of it.",
    "I won't help with this.",
    "I must decline.",
    "Sorry, I cannot answer.",
]
INNOCENT = [
    # Corrections and errors that the task is about.
    "The corrected total is 5 because one ticket was counted twice.",
    "The revised price is 12 dollars.",
    "The bill had a mistake of 3 dollars, so they paid 17.",
    "The error of the measurement is 0.2 cm.",
    "After correction the reading is 37.2 degrees.",
    "The typist makes 2 errors on each page, 10 errors in all.",
    "The editor fixed 14 mistakes on Monday and 6 on Tuesday.",
    "An updated map of the town hangs in the hall.",
    "The improved engine needs 20% less fuel.",
    # Students, answers and drafts that the task is about.
    "The student answered 12 of 15 questions correctly.",
    "The student correctly answered 12 questions, each worth 3 points.",
    "The student's score is 80, the class's mean is 75.",
    "The students' bus leaves at 8, and the teacher's car at 9.",
    "The author's first novel sold 3000 copies.",
    "The model predicts 40 mm of rain.",
    "The third draft of the treaty was signed in 1648.",
    "She wrote 3 pages of the draft on Monday.",
    "There is an error in the bill.",
    # Choices and statements that are judged.
    "Option B is wrong because 9 is no prime.",
    "Statement II is incorrect, so the answer is (A).",
    "The claim that all primes are odd is false.",
    "x = -2 is not a valid solution, since the root is positive.",
    "The right answer is (C).",
    "The correct answer is 42.",
    # Replies that check themselves.
    "Let me check: 3 * 4 = 12, so the answer is correct.",
    "Wait, I made a mistake. 3 * 4 is 12.",
    "This is right, since 4 * 5 = 20.",
    # Plain working.
    "Step 2: add 4 to 5, which is 9.",
    "In the first step, we add 4 and 5.",
    "In step 3 we divide by 2.",
    "The first step is to find the area.",
    "Here is the solution:\n3 + 4 = 7",
    "Here are the steps:",
    "As pointed out above, the sum is even.",
    "The solution of the equation is x = 3.",
    "The final answer is 12.\nAnswer: 12",
    # Letters and opinions.
    "Thank you for your feedback, we value it.",
    "Based on the feedback from 100 customers, 60 are content.",
    "Please let me know your answer by Friday.",
    "The original version of the song is from 1970.",
    "I can't believe how cheap the tickets are.",
    "I cannot wait to see you.",
    "As an AI researcher, she earns 9000 a month.",
    "The price cannot be found with what is given.",
    "It is impossible to help all 30 of them in one hour.",
    "In conclusion, right angles have 90 degrees.",
    "Conclusion: the right side is larger.",
    "The judge's verdict came after 3 days.",
    "Multiply the verdict count by 2.",
]


def real(name: str) -> list[dict[str, str | None]]:
    path = DATA / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not there; CGD_DATA names the folder that holds it")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("text", CRITIQUES)
def test_a_judgement_on_somebodys_work_is_critique_talk(text: str) -> None:
    assert has_critique_talk(text)


@pytest.mark.parametrize("kind", WORDS)
def test_what_the_tutor_says_is_critique_talk(kind: str) -> None:
    assert has_critique_talk(WORDS[kind].format(step="second", quote="3 + 4 = 8", number="4"))


@pytest.mark.parametrize("text", REFINEMENTS)
def test_a_text_that_calls_itself_a_revision_is_refinement_talk(text: str) -> None:
    assert has_refinement_talk(text)


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_found(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize("text", INNOCENT)
def test_an_innocent_sentence_is_none_of_them(text: str) -> None:
    assert not (has_critique_talk(text) or has_refinement_talk(text) or is_refusal(text) or ends_in_loop(text))


def test_a_refusal_deep_in_a_reply_is_a_part_of_its_story() -> None:
    assert not is_refusal("Anna laughed. " * 30 + '"I can\'t help with that," said Tom.')


@given(st.sampled_from(CRITIQUES), st.sampled_from(INNOCENT))
def test_talk_is_found_whatever_else_the_reply_says_and_in_any_case(talk: str, innocent: str) -> None:
    assert has_critique_talk(f"{innocent}\n{talk.upper()}\n{innocent}")


# ── real texts ──


def test_critiques_of_worked_answers_are_found_and_refinements_left_alone() -> None:
    """All 105 critiques of answers; the 32 on the tone of reviews and on missing words name no answer.

    Of the 92 refinements two say "the improved answer is"; none of the 137 answers that were critiqued says such a
    thing.
    """
    rows = real("critiques_permissive")
    on_answers = [row for row in rows if not str(row["id"]).startswith("selfrefine")]
    assert sum(has_critique_talk(str(row["critique"])) for row in on_answers) == len(on_answers) == 105
    refinements = [row["refinement"] for row in rows if row["refinement"]]
    assert (sum(map(has_critique_talk, refinements)), sum(map(has_refinement_talk, refinements))) == (0, 2)
    responses = [str(row["response"]) for row in rows]
    assert not any(has_critique_talk(text) or has_refinement_talk(text) for text in responses)


@pytest.mark.parametrize(
    "field, names",
    [
        ("solution", ["gsm8k_test", "math_train_prompts", "math500", "minerva_math"]),
        ("reference_solution", ["critiques_permissive"]),
        ("prompt", ["ifeval", "amc23", "mmlu_sample", "mmlu_pro_sample"]),
    ],
)
def test_no_reference_solution_and_no_prompt_is_taken_for_talk(field: str, names: list[str]) -> None:
    texts = [str(row[field]) for name in names for row in real(name) if row.get(field)]
    detectors: list[Callable[[str], bool]] = [has_critique_talk, has_refinement_talk, is_refusal, ends_in_loop]
    assert [sum(map(found, texts)) for found in detectors] == [0, 0, 0, 0]


# ── loops ──


@pytest.mark.parametrize(
    "text",
    [
        "3 + 4 = 7. " + "So the total is 7 apples. " * 4,
        "Answer:\n" + "Answer: 7\n" * 12,
        "ha " * 37,
        "0" * 100,
        "one long line that goes on, with 60 characters or so in it\n" * 5 + "one long li",
        "The. " + " ".join(f"word{index}" for index in range(100)) + " x" * 60,
    ],
)
def test_four_copies_to_the_end_are_a_loop(text: str) -> None:
    assert ends_in_loop(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "So the total is 7 apples. " * 3,
        "So the total is 7 apples. " * 9 + "Answer: 7",
        "ha " * 36,
        "-" * 200,
        "| | | |\n" * 40,
        "\n".join(f"{n} * 7 = {n * 7}" for n in range(1, 30)),
    ],
)
def test_fewer_copies_an_end_after_them_and_ruled_lines_are_no_loop(text: str) -> None:
    """Four units of nine "ha " need 108 characters; 36 times "ha" have 107."""
    assert not ends_in_loop(text)


@given(st.text(max_size=200), st.text("ab 1", min_size=1, max_size=30), st.integers(0, 29))
def test_a_word_and_a_unit_many_times_over_are_a_loop_wherever_it_is_cut(before: str, unit: str, cut: int) -> None:
    text = before + f"{unit.strip()}x" * 140
    assert ends_in_loop(text[: len(text) - cut])


# ── hostile texts ──


@pytest.mark.parametrize(
    "text",
    [
        "the student's " * 20_000,
        "'" * 100_000,
        "in the first step, '" + "'" * 100_000,
        "\n" * 100_000,
        "verdict" + "*" * 100_000,
        ("a" * 24 + "b") * 3000 + "c",
        "here is the corrected and " * 10_000,
        "a b " * 30_000 + "c",
    ],
)
def test_long_hostile_texts_take_less_than_a_second(text: str) -> None:
    started = time.process_time()
    for found in (has_critique_talk, has_refinement_talk, is_refusal, ends_in_loop):
        found(text)
    assert time.process_time() - started < 1
