"""Run with: pytest tests/tasks/test_reasoning_gym.py."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.errors import UserError
from cgd.plugins import build_task
from cgd.records import AnswerKind, Prompt
from cgd.tasks.reasoning_gym import kind_of, split_of

installed = pytest.mark.skipif(
    find_spec("reasoning_gym") is None, reason="needs reasoning-gym: pip install 'cgd[eval]'"
)


def load(
    dataset: str, n: int | None = 4, split: Literal["train", "test"] = "test", seed: int = 0, **config: Any
) -> list[Prompt]:
    return build_task("reasoning_gym", {"dataset": dataset, "config": config}).load(split, n, seed)


def complaint(dataset: str, n: int | None = 4, **config: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(dataset, n, **config)
    return str(caught.value)


@pytest.mark.parametrize(
    ("gold", "kind"),
    [
        *((gold, "math") for gold in ("12", "-4", "0.3125", "737/960", "-15.0")),
        *((gold, "boolean") for gold in ("True", "False", "Yes", "no")),
        *((gold, "list") for gold in ("[28, 88, 49]", "[]", "['14', '-48.986']", '[["a", "b"], ["c"]]')),
        *((gold, "text") for gold in ("crave", "B → C", "4 2\n1 3", "-9.0 - 8.0i", "[1, 2", "3, 5", "1_000", "{1: 2}")),
    ],
)
def test_the_gold_decides_how_answers_compare(gold: str, kind: AnswerKind) -> None:
    assert kind_of(gold) == kind


@given(st.lists(st.text(min_size=1), min_size=1, max_size=50))
def test_a_problem_belongs_to_one_split_for_good(questions: list[str]) -> None:
    assert [split_of(question) for question in questions] == [split_of(question) for question in questions]


def test_about_a_quarter_of_all_problems_is_for_testing() -> None:
    """Of 4000 draws at a quarter, 1000 are expected and 1000 ± 5 standard deviations of 27.4 are 863 to 1137."""
    assert 863 < sum(split_of(f"problem {i}") == "test" for i in range(4000)) < 1137


@installed
def test_a_problem_is_its_question_and_the_request_for_an_answer_line() -> None:
    for prompt in load("chain_sum"):
        (message,) = prompt.messages
        question, _, instruction = message["content"].rpartition("\n\n")
        assert question.startswith("State the final answer to the following arithmetic problem: ")
        assert instruction.startswith("Think step by step, then end with a line 'Answer: <answer>'.")
        expression = question.removesuffix(" =").rpartition(": ")[2]
        assert prompt.answer == str(eval(expression))
        assert prompt.id.startswith("reasoning_gym/chain_sum-")
        assert prompt.meta == {"dataset": "chain_sum"}


@installed
@settings(deadline=None, max_examples=15)
@given(seeds=st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), n=st.integers(1, 30))
def test_training_and_test_problems_are_disjoint_whatever_the_seeds(seeds: tuple[int, int], n: int) -> None:
    train, test = load("leg_counting", n, "train", seeds[0]), load("leg_counting", n, "test", seeds[1])
    assert len(train) == len(test) == n
    assert {prompt.messages[0]["content"] for prompt in train}.isdisjoint(p.messages[0]["content"] for p in test)
    assert len({prompt.id for prompt in train + test}) == 2 * n


@installed
def test_the_same_seed_gives_the_same_problems_and_the_next_seed_others() -> None:
    first = load("leg_counting", 20)
    assert load("leg_counting", 20) == first
    assert load("leg_counting", 5) == first[:5]
    assert not {prompt.id for prompt in load("leg_counting", 20, seed=1)} & {prompt.id for prompt in first}


@installed
def test_the_data_sets_own_settings_are_handed_on() -> None:
    """A sum of two terms has one sign between its numbers."""
    for prompt in load("chain_sum", min_terms=2, max_terms=2, min_digits=1, max_digits=1):
        expression = prompt.messages[0]["content"].partition("problem: ")[2].partition(" =")[0]
        assert len(expression.split()) == 3


@installed
@pytest.mark.parametrize(
    ("dataset", "kind", "faulty"),
    [
        ("chain_sum", "math", False),
        ("course_schedule", "boolean", False),
        ("number_filtering", "list", False),
        ("caesar_cipher", "text", False),
        ("palindrome_generation", "text", True),
        ("countdown", "text", True),
    ],
)
def test_rows_to_which_other_answers_may_be_right_are_marked(dataset: str, kind: str, faulty: bool) -> None:
    task = build_task("reasoning_gym", {"dataset": dataset})
    for prompt in task.load("test", 3, 0):
        assert task.rule(prompt)[:2] == (kind, "answer_line")
        assert ("known_issue" in prompt.meta) == faulty


@installed
def test_the_rows_of_a_data_set_are_the_same_in_every_process() -> None:
    """Rows that hang on the order of a set would differ with the seed of the hashes of strings."""
    code = (
        "from cgd.plugins import build_task\n"
        "for name in ('word_sorting', 'spell_backward', 'family_relationships', 'letter_counting'):\n"
        "    for prompt in build_task('reasoning_gym', {'dataset': name}).load('test', 5, 3): print(prompt.id)\n"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2")
    }
    assert [len(text.splitlines()) for text in texts] == [20]


# Mistakes


def test_the_number_of_problems_must_be_said() -> None:
    assert complaint("chain_sum", None) == ("task 'reasoning_gym' makes its problems and needs to know how many: set n")


def test_the_data_set_must_be_named() -> None:
    with pytest.raises(UserError, match="dataset: required, but absent"):
        build_task("reasoning_gym", {})


def test_the_package_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    assert "needs the package reasoning_gym: pip install 'cgd[eval]'" in complaint("chain_sum")


@installed
@pytest.mark.parametrize(
    ("dataset", "config", "expected"),
    [
        ("chain_sums", {}, "no reasoning_gym data set 'chain_sums'; allowed: ab, acre, "),
        ("word_ladder", {}, "'word_ladder' makes other rows in every process"),
        ("rubiks_cube", {}, "'rubiks_cube' has no golds, only a score function"),
        ("chain_sum", {"terms": 2}, "'chain_sum' refuses options.config: "),
        ("chain_sum", {"min_terms": 5, "max_terms": 2}, "'chain_sum' refuses options.config: "),
        ("chain_sum", {"size": 3}, "'chain_sum' refuses options.config: "),
    ],
)
def test_a_data_set_that_can_not_be_used_is_refused_with_the_reason(
    dataset: str, config: dict[str, Any], expected: str
) -> None:
    assert expected in complaint(dataset, **config)


@installed
def test_more_problems_than_there_are_is_refused_with_how_many_there_are() -> None:
    """A sum of two digits has 10 × 10 × 2 problems at most, a quarter of them for testing."""
    message = complaint("chain_sum", 150, min_terms=2, max_terms=2, min_digits=1, max_digits=1)
    assert "distinct test problems in 6000 tries; got n = 150: lower it, or widen" in message
