"""Run with: pytest tests/tasks/test_arithmetic.py."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.errors import UserError
from cgd.plugins import Task, build_task
from cgd.records import GradingRule, Prompt
from cgd.tasks.arithmetic import INSTRUCTION, NAMES, OPERATIONS, TEMPLATES, Options, Split, Template, build, split_of

SPLITS: tuple[Split, ...] = ("train", "test")
TASK = build(Options())


def identity(prompt: Prompt) -> str:
    return f"{prompt.meta['template']} {prompt.meta['steps']}"


def story(prompt: Prompt) -> str:
    return prompt.messages[0]["content"].split("\n")[0]


def test_the_task_is_found_by_its_name_and_takes_no_options() -> None:
    assert isinstance(build_task("arithmetic", {}), Task)
    with pytest.raises(UserError, match="level"):
        build_task("arithmetic", {"level": 3})


def test_it_is_graded_as_mathematics_on_an_answer_line() -> None:
    assert TASK.rule(TASK.load("test", 1, 0)[0]) == GradingRule(kind="math", answer_format="answer_line")


def test_a_problem_is_one_user_message_with_the_story_and_then_the_instruction() -> None:
    (prompt,) = TASK.load("train", 1, seed=0)
    assert [message["role"] for message in prompt.messages] == ["user"]
    assert prompt.messages[0]["content"].endswith(f"?\n{INSTRUCTION}")
    assert prompt.id.startswith("arithmetic/train-0000#") and prompt.source == "arithmetic"


def test_the_steps_follow_from_the_numbers_by_hand() -> None:
    """Bags of 3 red and 5 blue, 4 bags: 3 + 5 = 8, 8 * 4 = 32. 30 dollars, 4 tickets at 6: 24, 30 - 24 = 6."""
    templates = {template.id: template for template in TEMPLATES}
    assert templates["mixed-bags"].steps((3, 5, 4)) == ((3, "+", 5, 8), (8, "*", 4, 32))
    assert templates["tickets"].steps((4, 6, 30)) == ((4, "*", 6, 24), (30, "-", 24, 6))
    assert templates["gives-loses"].steps((9, 4, 2)) == ((9, "-", 4, 5), (5, "-", 2, 3))
    assert not templates["gives-loses"].allows((9, 4, 5)), "nothing would be left"
    assert not templates["mixed-bags"].allows((7, 5, 2)), "12 * 2 is no single digit times another"


def test_there_are_enough_templates_names_and_kinds_of_steps() -> None:
    assert len({template.id for template in TEMPLATES}) == len(TEMPLATES) >= 12
    assert len(set(NAMES)) == len(NAMES) >= 40
    assert len({template.operators for template in TEMPLATES}) >= 6


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.id)
def test_every_story_states_its_three_numbers_and_asks_a_question(template: Template) -> None:
    assert [template.story.count(slot) for slot in ("{a}", "{b}", "{c}")] == [1, 1, 1]
    assert "{name}" in template.story and "How many" in template.story and template.story.endswith("?")


@given(seed=st.integers(0, 2**31), split=st.sampled_from(SPLITS))
@settings(max_examples=20, deadline=None)
def test_the_worked_solution_is_right_and_ends_with_the_answer(seed: int, split: Split) -> None:
    for prompt in TASK.load(split, 40, seed):
        steps = prompt.meta["steps"]
        assert all(OPERATIONS[symbol](left, right) == result > 0 for left, symbol, right, result in steps)
        carried = steps[0][3]
        assert carried in (steps[1][0], steps[1][2])
        lines = [f"{left} {symbol} {right} = {result}" for left, symbol, right, result in steps]
        assert prompt.solution == "\n".join([*lines, f"Answer: {prompt.answer}"])
        assert prompt.answer == str(steps[-1][3])


@given(seed=st.integers(0, 2**31), split=st.sampled_from(SPLITS))
@settings(max_examples=20, deadline=None)
def test_the_story_holds_the_numbers_of_the_steps_and_no_others(seed: int, split: Split) -> None:
    for prompt in TASK.load(split, 20, seed):
        (a, _, b, carried), (left, _, right, _) = prompt.meta["steps"]
        options = [sorted((a, b, other)) for other, rest in ((right, left), (left, right)) if rest == carried]
        assert sorted(map(int, re.findall(r"\d+", story(prompt)))) in options


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_no_calculation_of_a_test_problem_is_met_in_training(seed: int) -> None:
    train = {str(prompt.meta["steps"]) for prompt in TASK.load("train", 300, seed)}
    test = {str(prompt.meta["steps"]) for prompt in TASK.load("test", 300, seed + 1)}
    assert not train & test


@given(seed=st.integers(0, 2**31), n=st.integers(1, 60), split=st.sampled_from(SPLITS))
@settings(max_examples=20, deadline=None)
def test_the_same_seed_gives_the_same_problems_and_fewer_are_a_prefix(seed: int, n: int, split: Split) -> None:
    prompts = TASK.load(split, 60, seed)
    assert prompts == TASK.load(split, 60, seed)
    assert prompts[:n] == TASK.load(split, n, seed)


def test_another_seed_gives_other_problems() -> None:
    assert TASK.load("train", 20, seed=0) != TASK.load("train", 20, seed=1)


def test_templates_are_evenly_mixed() -> None:
    prompts = TASK.load("train", 2 * len(TEMPLATES), seed=5)
    assert {prompt.meta["template"] for prompt in prompts[: len(TEMPLATES)]} == {template.id for template in TEMPLATES}


def test_all_problems_of_a_split_can_be_had_and_all_differ() -> None:
    with pytest.raises(UserError, match="1 to") as refusal:
        TASK.load("test", 10**6, seed=0)
    exist = int(re.findall(r"\d+", str(refusal.value))[-1])
    prompts = TASK.load("test", exist, seed=0)
    assert len({identity(prompt) for prompt in prompts}) == len({prompt.id for prompt in prompts}) == exist


def test_too_many_problems_are_refused_with_what_is_allowed() -> None:
    with pytest.raises(UserError, match=r"has \d+ distinct train problems; got n = 1000000, allowed: 1 to \d+"):
        TASK.load("train", 10**6, seed=0)


def test_a_generated_task_needs_to_know_how_many() -> None:
    with pytest.raises(UserError, match="set n"):
        TASK.load("train", None, seed=0)


def test_the_split_of_a_problem_never_changes_and_a_quarter_is_for_testing() -> None:
    """Pinned: a change of the hash would mix the splits of earlier runs."""
    first = TEMPLATES[0]
    assert [b for b in range(3, 11) if split_of(first, (3, b, 2)) == "test"] == [9]
    every = [split_of(first, (a, b, c)) for a in first.ranges[0] for b in first.ranges[1] for c in first.ranges[2]]
    assert every.count("test") / len(every) == pytest.approx(0.25, abs=0.02)


def test_prompts_are_short() -> None:
    """At most 35 words: about 50 tokens."""
    assert max(len(prompt.messages[0]["content"].split()) for prompt in TASK.load("train", 200, 0)) <= 35
