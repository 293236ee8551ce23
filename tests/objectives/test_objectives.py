"""Run with: pytest tests/objectives/test_objectives.py."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.errors import UserError
from cgd.plugins import Objective, available, build_objective
from cgd.prompts import student_context
from cgd.records import Example, Message, Prompt, Record
from tests.builders import user

X: tuple[Message, ...] = ({"role": "system", "content": "Be brief."}, *user("the prompt x"))
PROMPT = Prompt.create("item", X, answer="the gold answer", solution="the solution y*")
RECORD = Record(PROMPT, "the draft y'", "the critique c", "the refinement ŷ", key="r" * 64)
PARTS = {
    "prompt": "the prompt x",
    "draft": "the draft y'",
    "critique": "the critique c",
    "refinement": "the refinement ŷ",
    "solution": "the solution y*",
    "answer": "the gold answer",
}
# What each objective shows the student, what it teaches, and what a record must hold for it.
READS: dict[str, tuple[set[str], str, set[str]]] = {
    "cgd": ({"prompt", "draft", "critique"}, "refinement", {"refinement"}),
    "refine": ({"prompt", "draft"}, "refinement", {"refinement"}),
    "cft": ({"prompt", "draft"}, "critique", {"critique"}),
    "distilled_sft": ({"prompt"}, "refinement", {"refinement"}),
    "sft": ({"prompt"}, "solution", {"solution"}),
}
NAMES = sorted(READS)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)


def objective(name: str) -> Objective:
    return build_objective(name, {})


def shown(example: Example) -> set[str]:
    """Which parts of the record stand in the context."""
    return {part for part, text in PARTS.items() if text in example.context[-1]["content"]}


def test_this_file_knows_every_objective_that_ships() -> None:
    assert available("objectives") == sorted([*NAMES, "mixture"])


@pytest.mark.parametrize("name", NAMES)
def test_an_objective_shows_and_teaches_what_its_formula_says(name: str) -> None:
    context, target, needs = READS[name]
    example = objective(name).example(RECORD)
    assert shown(example) == context
    assert example.target == PARTS[target]
    assert objective(name).needs == needs


@pytest.mark.parametrize("name", NAMES)
def test_the_target_never_stands_in_the_context(name: str) -> None:
    example = objective(name).example(RECORD)
    assert not [message for message in example.context if example.target in message["content"]]


@pytest.mark.parametrize("name", NAMES)
def test_earlier_messages_of_a_chat_stay_and_the_last_is_the_users(name: str) -> None:
    context = objective(name).example(RECORD).context
    assert context[:-1] == X[:-1]
    assert context[-1]["role"] == "user"


@pytest.mark.parametrize("name", ["sft", "distilled_sft"])
def test_plain_answers_are_taught_in_the_context_of_inference(name: str) -> None:
    assert objective(name).example(RECORD).context == X


def test_the_contexts_are_those_of_the_prompt_folder() -> None:
    draft, critique = RECORD.draft, RECORD.critique
    assert objective("cgd").example(RECORD).context == student_context(
        X, wanted="refinement", draft=draft, critique=critique
    )
    assert objective("refine").example(RECORD).context == student_context(X, wanted="refinement", draft=draft)
    assert objective("cft").example(RECORD).context == student_context(X, wanted="critique", draft=draft)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(draft=TEXTS, critique=TEXTS, refinement=TEXTS, solution=TEXTS)
def test_a_view_is_pure_and_depends_on_nothing_but_the_parts_it_reads(
    name: str, draft: str, critique: str, refinement: str, solution: str
) -> None:
    """Change every part it does not read: the example stays. Ask twice: the same, and the record is untouched."""
    context, target, _ = READS[name]
    read = context | {target}
    other = Record(
        replace(PROMPT, solution=PROMPT.solution if "solution" in read else solution, answer="another"),
        RECORD.draft if "draft" in read else draft,
        RECORD.critique if "critique" in read else critique,
        RECORD.refinement if "refinement" in read else refinement,
        key="another",
    )
    before = replace(RECORD)
    assert objective(name).example(other) == objective(name).example(RECORD) == objective(name).example(RECORD)
    assert before == RECORD


@pytest.mark.parametrize("name", NAMES)
def test_a_record_is_enough_where_it_holds_what_the_objective_needs(name: str) -> None:
    """A stage is reached through the ones before it: a refinement implies critique and draft, a critique a draft."""
    _, _, needs = READS[name]
    reached = {"refinement": 3, "critique": 2, "draft": 1}
    depth = max((reached.get(need, 0) for need in needs), default=0)
    record = Record(
        PROMPT if "solution" in needs else replace(PROMPT, solution=None),
        RECORD.draft if depth >= 1 else None,
        RECORD.critique if depth >= 2 else None,
        RECORD.refinement if depth >= 3 else None,
    )
    assert objective(name).example(record) == objective(name).example(RECORD)


def test_a_record_can_not_be_changed_by_an_objective() -> None:
    with pytest.raises(FrozenInstanceError):
        RECORD.draft = "changed"  # type: ignore[misc]


# Options and mixtures


def test_distillation_may_teach_what_the_teacher_says_to_the_prompt_alone() -> None:
    plain = build_objective("distilled_sft", {"target": "teacher_answer"})
    record = replace(RECORD, teacher_answer="the teacher's answer")
    assert plain.needs == {"teacher_answer"}
    assert plain.example(record) == Example(X, "the teacher's answer")


def records(count: int) -> list[Record]:
    return [replace(RECORD, key=f"{index:064x}") for index in range(count)]


def test_a_mixture_sees_each_record_as_one_of_its_parts_and_always_as_the_same() -> None:
    mixture = build_objective("mixture", {"parts": {"cgd": 1, "distilled_sft": 1}})
    parts = [objective(name) for name in ("cgd", "distilled_sft")]
    examples = [mixture.example(record) for record in records(50)]
    assert all(mixture.example(r) == e for r, e in zip(records(50), examples, strict=True))
    views = [[part.example(record) for part in parts].index(e) for record, e in zip(records(50), examples, strict=True)]
    assert set(views) == {0, 1}
    assert mixture.needs == {"refinement"}


def test_the_parts_of_a_mixture_come_at_the_stated_ratio() -> None:
    """3 to 1 of 2000 draws: 1500 +- 4 standard errors of sqrt(2000 * 0.75 * 0.25) = 19.4, that is 1423 to 1577."""
    mixture = build_objective("mixture", {"parts": {"cgd": 3, "sft": 1}})
    cgd = sum(mixture.example(record).target == PARTS["refinement"] for record in records(2000))
    assert 1423 <= cgd <= 1577
    assert mixture.needs == {"refinement", "solution"}


@pytest.mark.parametrize("parts", [{}, {"cgd": 1}, {"cgd": 1, "sft": 0}, {"cgd": 1, "no such": 1}])
def test_a_mixture_of_fewer_than_two_real_parts_is_refused(parts: dict[str, float]) -> None:
    with pytest.raises(UserError):
        build_objective("mixture", {"parts": parts})
