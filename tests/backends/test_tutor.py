"""Run with: pytest tests/backends/test_tutor.py."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.backends.tutor.diagnosis import WORDS, Reveal, critique_text, diagnose, refinement_text
from cgd.backends.tutor.drafts import OPERATIONS, Step, Steps
from cgd.config import Sampling
from cgd.errors import UserError
from cgd.plugins import Backend, build_backend
from cgd.records import Prompt, Record, Reply, Request, Stage, make_request

STEPS: Steps = (Step(12, "+", 7, 19), Step(19, "-", 5, 14))
GROUPED: Steps = (Step(3, "+", 5, 8), Step(8, "*", 4, 32))
PURSE: Steps = (Step(4, "*", 6, 24), Step(30, "-", 24, 6))
SOLUTION = "12 + 7 = 19\n19 - 5 = 14\nAnswer: 14"
GOLD_LINE = "Answer: 14"


def kind(draft: str, steps: Steps = STEPS) -> str:
    return diagnose(steps, draft).fault.kind


def critique(draft: str, reveal: Reveal = "none", steps: Steps = STEPS) -> str:
    return critique_text(diagnose(steps, draft), reveal)


def refinement(draft: str, steps: Steps = STEPS) -> str:
    return refinement_text(diagnose(steps, draft), draft)


def request(stage: Stage, draft: str | None = "", meta: dict[str, Any] | None = None) -> Request:
    steps = {"steps": [list(step) for step in STEPS]}
    prompt = Prompt.create("p", [{"role": "user", "content": "?"}], meta=steps if meta is None else meta)
    return make_request(stage, Record(prompt, draft=draft), prompt.messages, Sampling(), {}, run_seed=0)


# Diagnosis and critique

CASES = {
    "right": [
        SOLUTION,
        "Let's see: 7 + 12 = 19 apples. Then 19 - 5 = 14.\n\nAnswer: 14\n",
        "12 + 7 - 5 = 14\nAnswer: 14",
    ],
    "silent": ["", "Ana has some apples.", "1. 1: 1\n2. 2: 2"],
    "spoken": ["We divide 12 by 7, which gives 1.7."],
    "unfounded": ["Answer: 19", "The answer is 19."],
    "unfinished": ["12 + 7 =", "To find out, we take 12 + 7"],
    "result": ["12 + 7 = 18", "12 + 7 = 19. 19 - 5 = 15. Answer: 15", "12 + 7 - 5 = 15", "12 - 5 = 8"],
    "order": ["12 + 7 = 19, 5 - 19 = -14"],
    "operation": ["12 - 7 = 5", "12 + 7 = 19, 19 + 5 = 24", "12 * 7 * 5 ="],
    "twice": ["12 + 12 = 24", "12 + 7 = 19, 19 * 19 = 361"],
    "foreign": ["12 + 8 = 20"],
    "carry": ["12 + 7 = 19, 12 - 5 = 7"],
    "operand": ["12 + 7 = 19, 19 - 7 = 12"],
    "mixed": ["12 * 2 = 24"],
    "irrelevant": ["3 * 2 = 6, 12 + 7 = 19"],
    "skipped": ["19 - 5 = 14. Answer: 14"],
    "missing": ["12 + 7 = 19 apples. Answer: 19", "12 + 7 = 19. So 12 + 7 = 19 apples."],
    "extra": ["12 + 7 = 19, 19 - 5 = 14, 14 + 5 = 19\nAnswer: 14"],
    "unanswered": ["12 + 7 = 19, 19 - 5 = 14. Therefore, Ana has 14 apples now."],
    "format": [f"12 + 7 = 19\n19 - 5 = 14\n{line}" for line in ("Answer: 14.", "**Answer: 14**", "Answer: <number>")],
    "answer": ["12 + 7 = 19, 19 - 5 = 14\nAnswer: 19", "12 + 7 = 19, 19 - 5 = 14\nAnswer: -14"],
    "trailing": [f"{SOLUTION}\nI hope this helps!"],
}


def test_every_kind_of_fault_has_a_case() -> None:
    assert CASES.keys() == WORDS.keys()


@pytest.mark.parametrize(("expected", "draft"), [(name, draft) for name, drafts in CASES.items() for draft in drafts])
def test_the_first_fault_is_found(expected: str, draft: str) -> None:
    """12 apples, 7 more, 5 given away: 12 + 7 = 19, 19 - 5 = 14."""
    assert kind(draft) == expected


def test_a_critique_quotes_the_draft_and_names_the_step() -> None:
    assert critique("So 12 apples + 7 apples = 19 apples. She has 19 + 5 = 24 apples.") == (
        "In the second step, '19 + 5 = 24' has the right numbers but the wrong operation."
    )
    assert critique("12 + 8 = 20") == "In the first step, '12 + 8 = 20' uses 8, which is no number of this problem."


@pytest.mark.parametrize(
    ("reveal", "tail"),
    [
        ("none", "the wrong operation."),
        ("step", "the wrong operation. The calculation there is 19 - 5."),
        ("answer", "the wrong operation. Correct: 19 - 5 = 14, answer 14."),
    ],
)
def test_reveal_decides_how_much_a_critique_gives_away(reveal: Reveal, tail: str) -> None:
    assert critique("12 + 7 = 19, 19 + 5 = 24", reveal).endswith(tail)


@pytest.mark.parametrize("reveal", ["none", "step", "answer"])
def test_a_right_draft_is_called_right_whatever_is_revealed(reveal: Reveal) -> None:
    assert critique(SOLUTION, reveal) == "Every step is right, and so is the answer line."


@pytest.mark.parametrize("name", [name for name in CASES if name != "right"])
def test_critiques_are_short(name: str) -> None:
    """At most 22 words: about 35 tokens."""
    assert all(len(critique(draft).split()) <= 22 for draft in CASES[name])


@pytest.mark.parametrize(
    ("steps", "draft"),
    [
        (STEPS, "12 - 5 = 7, 7 + 7 = 14\nAnswer: 14"),
        (STEPS, "7 - 5 = 2\n2 + 12 = 14\nAnswer: 14"),
        ((Step(9, "-", 4, 5), Step(5, "-", 2, 3)), "4 + 2 = 6, 9 - 6 = 3\nAnswer: 3"),
        ((Step(4, "+", 2, 6), Step(9, "-", 6, 3)), "9 - 4 = 5, 5 - 2 = 3\nAnswer: 3"),
        (GROUPED, "(3 + 5) * 4 = 32\nAnswer: 32"),
        (GROUPED, "5 * 4 = 20, 3 * 4 = 12, 12 + 20 = 32\nAnswer: 32"),
        (GROUPED, "3 * 4 + 5 * 4 = 32\nAnswer: 32"),
        (PURSE, "30 - 4 * 6 = 6\nAnswer: 6"),
        ((Step(1, "+", 2, 3), Step(3, "+", 4, 7)), "1 + 2 + 4 = 3 + 4 = 7\nAnswer: 7"),
    ],
)
def test_another_valid_way_to_the_result_is_right(steps: Steps, draft: str) -> None:
    assert kind(draft, steps) == "right"
    assert refinement(draft, steps) == draft


def test_a_way_that_only_begins_like_another_valid_one_is_judged_by_the_worked_steps() -> None:
    """4 bags of 3 red and 5 blue: 4 * 5 = 20 would need 4 * 3 = 12 and 20 + 12 = 32 after it."""
    assert kind("4 * 5 = 20 in all", GROUPED) == "mixed"


# Refinement


def test_a_refinement_keeps_what_was_right_in_the_drafts_own_order() -> None:
    draft = "She has 7 + 12 = 19 apples.\nThen 19 + 5 = 24 are left."
    assert refinement(draft) == "7 + 12 = 19\n19 - 5 = 14\nAnswer: 14"
    assert refinement("12 + 7 = 18, 19 - 5 = 14") == SOLUTION
    assert refinement("12 - 5 = 7 apples.") == "12 - 5 = 7\n7 + 7 = 14\nAnswer: 14"


def test_a_right_draft_is_kept_as_it_stands() -> None:
    draft = "\n First 12 + 7 = 19.\nThen 19 - 5 = 14.\nAnswer: 14 \n"
    assert refinement(draft) == draft.strip()


@st.composite
def worked_steps(draw: st.DrawFn) -> Steps:
    left, right, third = (draw(st.integers(1, 30)) for _ in range(3))
    first, second = (draw(st.sampled_from("+-*")) for _ in range(2))
    carried = OPERATIONS[first](left, right)
    pair = (third, carried) if draw(st.booleans()) else (carried, third)
    return Step(left, first, right, carried), Step(pair[0], second, pair[1], OPERATIONS[second](*pair))


NUMBERS = st.integers(0, 40).map(str)
SIGNS = st.sampled_from(
    [*"+-*/=()\n.,:$x ", " = ", " + ", " - ", "Answer: ", "apples", "**", "is", "\\times", "answer:"]
)
SENTENCES = st.sampled_from([draft for drafts in CASES.values() for draft in drafts])
DRAFTS = st.text(max_size=80) | st.lists(NUMBERS | SIGNS | SENTENCES, max_size=30).map("".join)


@given(steps=worked_steps(), draft=DRAFTS)
@settings(deadline=None, max_examples=150)
def test_a_refinement_of_any_draft_ends_with_the_gold_line(steps: Steps, draft: str) -> None:
    assert refinement(draft, steps).split("\n")[-1] == f"Answer: {steps[-1].result}"


@given(steps=worked_steps(), draft=DRAFTS)
@settings(deadline=None, max_examples=150)
def test_a_critique_that_reveals_nothing_has_no_number_but_the_drafts(steps: Steps, draft: str) -> None:
    assert set(re.findall(r"\d+", critique(draft, "none", steps))) <= set(re.findall(r"\d+", draft))


@given(steps=worked_steps(), draft=DRAFTS)
@settings(deadline=None, max_examples=150)
def test_the_lines_of_a_wrong_drafts_refinement_are_true_and_its_own_refinement_is_itself(
    steps: Steps, draft: str
) -> None:
    text = refinement(draft, steps)
    if kind(draft, steps) != "right":
        for line in text.split("\n")[:-1]:
            left, symbol, right, _, result = line.split()
            assert OPERATIONS[symbol](int(left), int(right)) == int(result)
        assert refinement(text, steps) == text


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece",
    [
        "(",
        "1",
        "1 ",
        "1,111",
        "(1",
        "1+",
        "1=",
        "1+1=",
        "(a",
        "1 a ",
        "* a ",
        " ",
        "\n",
        "=",
        "answer:",
        "\\",
        "12 + 7 = 19\n",
    ],
)
def test_a_hostile_draft_takes_time_in_proportion_to_its_length(piece: str) -> None:
    """30,000 characters: a quadratic walk would take minutes."""
    draft = piece * (30_000 // len(piece))
    assert refinement(draft).endswith(GOLD_LINE)
    assert refinement(f"12 + 7 = {draft}").endswith(GOLD_LINE)


# The backend


def test_the_tutor_is_a_backend_found_by_its_name_and_reveals_nothing_by_default() -> None:
    tutor = build_backend("tutor", {})
    assert isinstance(tutor, Backend)
    assert tutor.identity == {"backend": "tutor", "version": 1, "reveal": "none"}
    with pytest.raises(UserError, match="reveal"):
        build_backend("tutor", {"reveal": "all"})


def test_each_request_gets_the_text_of_its_stage_without_tokens() -> None:
    async def replies() -> list[Reply]:
        tutor = build_backend("tutor", {"reveal": "step"})
        return [reply async for reply in tutor.generate(requests)]

    requests = [request("critique", "12 - 7 = 5"), request("refinement", "12 - 7 = 5"), request("critique", None)]
    first, second, third = asyncio.run(replies())
    assert [reply.key for reply in (first, second, third)] == [item.key for item in requests]
    assert first.text == critique("12 - 7 = 5", "step") and second.text == SOLUTION
    assert third.text == critique("", "step")
    assert (first.finish_reason, first.prompt_tokens, first.completion_tokens) == ("stop", 0, 0)


@pytest.mark.parametrize("stage", ["draft", "prediction"])
def test_other_stages_are_refused(stage: Stage) -> None:
    with pytest.raises(UserError, match=f"stage '{stage}'; allowed: critique, refinement"):
        build_backend("tutor", {}).check([request(stage)])


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"steps": []},
        {"steps": 3},
        {"steps": [[1, "+", 2]]},
        {"steps": [[1, "^", 2, 3]]},
        {"steps": [[1, "+", 2, 4]]},
    ],
)
def test_a_prompt_without_right_worked_steps_is_refused_by_name(meta: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"prompt 'p#\w+'.*arithmetic"):
        build_backend("tutor", {}).check([request("critique", meta=meta)])


def test_prompts_with_worked_steps_pass_the_check() -> None:
    tutor = build_backend("tutor", {})
    tutor.check([request("critique"), request("refinement")])
    tutor.close()
