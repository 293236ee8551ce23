"""Run with: pytest tests/test_controls.py."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.config import ArmConfig
from cgd.config.training import Corruption
from cgd.controls import Control, Source, controlled, controls_of, corrupt, corruption_counts
from cgd.dataset.build import rows_hash, training_rows
from cgd.errors import UserError
from cgd.plugins import build_objective
from cgd.records import Record, content_hash
from cgd.resolve import resolve
from cgd.text import critique_verdict
from tests.builders import make_prompts, make_recipe

DATA = Path(os.environ.get("CGD_DATA", Path(__file__).parents[2] / "shared" / "data"))
SAYS = "The first step, '3 + 4 = 8', is wrong.\nVerdict: wrong"


def records(drafts: Sequence[int], critique: str = SAYS) -> list[Record]:
    """So many drafts of each prompt, each with a critique that says whose it is."""
    prompts = make_prompts([f"{number}?" for number in range(len(drafts))])
    return [
        Record(
            prompt,
            draft=f"draft {sample} of {number}",
            critique=f"{critique} ({number}.{sample})",
            refinement=f"refinement {sample} of {number}",
            key=content_hash([number, sample]),
        )
        for number, (prompt, count) in enumerate(zip(prompts, drafts, strict=True))
        for sample in range(count)
    ]


def control(source: Source, seed: int = 0) -> Control:
    return Control(source, None, seed)


def corruption(p: float, kind: str = "any", seed: int = 0) -> Control:
    return Control("own", Corruption.model_validate({"p": p, "kind": kind}), seed)


def prompt_of(critique: str | None) -> str:
    return (critique or "").rpartition("(")[2].partition(".")[0]


# Another critique in place of the own


@pytest.mark.parametrize("source", ["none", "shuffled", "placeholder", "answer_only", "other_draft"])
def test_only_the_critique_changes(source: Source) -> None:
    own = records([2] * 6)
    seen = controlled(own, control(source))
    assert len(seen) == len(own)
    for record in own:
        assert seen[record.id].critique != record.critique
        assert replace(seen[record.id], critique=record.critique) == record


def test_there_may_be_none_a_general_sentence_or_the_bare_answer() -> None:
    own = records([1, 1])
    assert {record.critique for record in controlled(own, control("none")).values()} == {None}
    (general,) = {record.critique for record in controlled(own, control("placeholder")).values()}
    assert general and "draft" in general and critique_verdict(general) is None
    assert {record.critique for record in controlled(own, control("answer_only")).values()} == {
        "The final answer is 4."
    }


def test_a_record_without_a_reference_answer_can_not_have_it_for_a_critique() -> None:
    one, other = records([1, 1])
    unknown = replace(other, prompt=replace(other.prompt, answer=None))
    assert list(controlled([one, unknown], control("answer_only"))) == [one.id]


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=12), st.integers(0, 3))
def test_shuffled_critiques_are_all_there_and_none_is_at_its_own_prompt(drafts: list[int], seed: int) -> None:
    """A law as long as no prompt has more than half of the records."""
    own = records(drafts)
    if 2 * max(drafts) > len(own):
        with pytest.raises(UserError, match=f"{max(drafts)} of {len(own)} records are of one prompt; take more"):
            controlled(own, control("shuffled", seed))
        return
    seen = controlled(own, control("shuffled", seed))
    assert sorted(str(record.critique) for record in seen.values()) == sorted(str(record.critique) for record in own)
    assert all(prompt_of(seen[record.id].critique) != prompt_of(record.critique) for record in own)
    assert seen == controlled(own[::-1], control("shuffled", seed)), "the order of records decides nothing"


def test_another_seed_shuffles_in_another_way() -> None:
    own = records([1] * 20)
    assert controlled(own, control("shuffled", 0)) != controlled(own, control("shuffled", 1))


def test_the_critique_of_another_draft_is_of_the_same_prompt_and_of_a_draft_that_differs() -> None:
    """Prompt 0 has three drafts, two of them the same text; prompt 1 has one: there is no other."""
    a, b, c, lone = records([3, 1])
    c = replace(c, draft=b.draft)
    seen = controlled([a, b, c, lone], control("other_draft"))
    assert set(seen) == {a.id, b.id, c.id}
    assert seen[b.id].critique == seen[c.id].critique == a.critique
    assert seen[a.id].critique in (b.critique, c.critique)


# Corruption


@pytest.mark.parametrize(
    ("critique", "expected"),
    [
        ("Step 1 holds.\nVerdict: right", "Step 1 holds.\nVerdict: wrong"),
        ("**Verdict: Incorrect**", "**Verdict: Correct**"),
        ("VERDICT: WRONG.", "VERDICT: RIGHT."),
        ("Verdict: right\nNo.\nVerdict: wrong", "Verdict: wrong\nNo.\nVerdict: right"),
        ("Every step is right.", "Every step is right.\n\nVerdict: wrong"),
        ("'3 + 4 = 8' has a wrong result.", "'3 + 4 = 8' has a wrong result.\n\nVerdict: right"),
        ("I see.", None),
    ],
)
def test_a_wrong_verdict_says_the_opposite(critique: str, expected: str | None) -> None:
    assert corrupt(critique, "verdict", 0) == expected


@pytest.mark.parametrize(
    ("critique", "after", "before"),
    [
        ("Step 2 is wrong.", "Step 3 is wrong.", "Step 1 is wrong."),
        ("In the first step; then step 4.", "In the second step; then step 5.", "In the second step; then step 3."),
        ("The Second wrong line", "The Third wrong line", "The First wrong line"),
        ("the fifth calculation", "the sixth calculation", "the fourth calculation"),
        ("2 apples, first of all", None, None),
    ],
)
def test_a_wrong_step_is_the_one_before_or_after(critique: str, after: str | None, before: str | None) -> None:
    """All move alike; before the first there is none, so it becomes the second."""
    assert corrupt(critique, "step", 1) == after
    assert corrupt(critique, "step", 0) == before


@pytest.mark.parametrize(
    ("critique", "number", "expected"),
    [
        ("'3 + 4 = 8' is wrong: 8 is too much.", 0, "'4 + 4 = 8' is wrong: 8 is too much."),
        ("'3 + 4 = 8' is wrong: 8 is too much.", 2, "'3 + 4 = 9' is wrong: 9 is too much."),
        ("'3 + 4 = 8' is wrong: 8 is too much.", 5, "'3 + 4 = 10' is wrong: 10 is too much."),
        ("It costs 1,999 dollars.", 0, "It costs 2,000 dollars."),
        ("0.99 was meant.", 0, "1.00 was meant."),
        ("1. Step 2 gives 7.", 0, "1. Step 2 gives 8."),
        ("Step 2 is wrong, x2 too.", 0, None),
    ],
)
def test_a_wrong_value_is_larger_by_some_units_of_its_last_digit(
    critique: str, number: int, expected: str | None
) -> None:
    """Of K different numbers it is the one at `number` mod K, by 1 + number // K mod 9 units; steps are no values."""
    assert corrupt(critique, "value", number) == expected


def test_any_is_whichever_of_the_three_can_be() -> None:
    assert {corrupt(SAYS, "any", number) for number in range(3)} == {
        corrupt(SAYS, "verdict", 0),
        corrupt(SAYS, "step", 0),
        corrupt(SAYS, "value", 0),
    }
    assert {corrupt("It is 7.", "any", number) for number in range(3)} == {"It is 8."}
    assert corrupt("I see.", "any", 0) is None


@settings(deadline=None)
@given(st.text() | st.text("0123456789.,\n stepVerdict:rightwrong"), st.integers(0, 2**48 - 1))
def test_a_corrupted_text_is_never_the_text_itself(critique: str, number: int) -> None:
    for kind in ("verdict", "step", "value", "any"):
        assert corrupt(critique, kind, number) != critique
    verdict = critique_verdict(critique)
    wrong = corrupt(critique, "verdict", number)
    assert (wrong is None) == (verdict is None)
    assert wrong is None or {verdict, critique_verdict(wrong)} == {"right", "wrong"}


@pytest.mark.parametrize("text", ["\n" * 50_000, "9" * 50_000, "1," * 25_000, "step " * 10_000, "!" * 50_000 + "a"])
def test_time_grows_with_the_length_alone(text: str) -> None:
    for kind in ("step", "value"):
        corrupt(text, kind, 1)


def test_the_share_p_of_the_critiques_is_wrong_and_grows_by_adding_rows() -> None:
    """1,000 draws at p have a standard deviation of at most 0.016: four of them are 0.064."""
    own = records([1] * 1000)
    wrong: set[str] = set()
    for p in (0.1, 0.3, 1.0):
        seen = controlled(own, corruption(p))
        now = {record.id for record in own if seen[record.id].critique != record.critique}
        assert abs(len(now) / len(own) - p) < 0.064 and wrong <= now
        wrong = now
    assert len(wrong) == 1000


def test_the_same_rows_are_wrong_in_every_way_and_another_seed_draws_others() -> None:
    own = records([1] * 50)
    changed = [
        {key for key, record in controlled(own, each).items() if record not in own}
        for each in (corruption(0.5, "verdict"), corruption(0.5, "value"), corruption(0.5, "value", seed=1))
    ]
    assert changed[0] == changed[1] != changed[2]


def test_what_can_not_be_made_wrong_stays_and_is_counted() -> None:
    own = [*records([1, 1]), replace(records([1, 1, 1])[2], critique="I see.")]
    arms = {"noisy": corruption(1.0, "verdict"), "clean": control("none")}
    assert controlled(own, arms["noisy"])[own[2].id] == own[2]
    rows, _ = training_rows(own, {arm: build_objective("cgd", {}) for arm in arms}, {}, arms)
    assert corruption_counts(own, rows, arms) == {"noisy": {"rows": 3, "drawn": 3, "changed": 2}}


def test_most_real_critiques_can_be_made_wrong() -> None:
    path = DATA / "critiques_permissive.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is absent; CGD_DATA names its folder")
    rows: list[dict[str, Any]] = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    # The others are feedback on the tone of a review or on missing words.
    critiques = [row["critique"] for row in rows if critique_verdict(row["critique"]) is not None]
    assert len(critiques) > 100
    for number, critique in enumerate(critiques):
        wrong = corrupt(critique, "verdict", number)
        assert wrong is not None and critique_verdict(wrong) != critique_verdict(critique)
    assert sum(corrupt(critique, "any", 7) is not None for critique in critiques) == len(critiques)


# Arms


def test_arms_have_the_same_records_and_targets_and_other_contexts() -> None:
    """Each control is another training: the hash of its rows differs from that of every other."""
    recipe = make_recipe(
        seed=3,
        draft={"n": 2, "temperature": 1.0},
        teacher={"backend": "tutor"},
        arms=[
            {"name": name, "objective": "cgd", "critique": name}
            for name in ("own", "none", "shuffled", "placeholder", "answer_only", "other_draft")
        ]
        + [{"name": "noisy", "objective": "cgd", "corrupt": {"p": 0.5}}],
    )
    controls = controls_of(recipe)
    assert list(controls) == ["none", "shuffled", "placeholder", "answer_only", "other_draft", "noisy"]
    assert {each.seed for each in controls.values()} == {3}
    rows, drops = training_rows(records([2] * 8), resolve(recipe).objectives, recipe.dropouts, controls)
    assert drops == [] and len({rows_hash(mine) for mine in rows.values()}) == 7
    for mine in rows.values():
        assert [(row.record_id, row.example.target) for row in mine] == [
            (row.record_id, row.example.target) for row in rows["own"]
        ]


def test_a_record_that_one_control_can_not_have_is_left_out_of_every_arm() -> None:
    own = records([2, 2, 1])
    unknown = replace(own[0], prompt=replace(own[0].prompt, answer=None))
    arms = {"answer": control("answer_only"), "other": control("other_draft")}
    rows, drops = training_rows(
        [unknown, *own[1:]], {arm: build_objective("cgd", {}) for arm in ("plain", *arms)}, {}, arms
    )
    assert [len(mine) for mine in rows.values()] == [3, 3, 3]
    assert [(drop.record_id, drop.reason) for drop in drops] == [
        (unknown.id, "has no reference answer"),
        (own[4].id, "has no critique of another draft"),
    ]


def arms_of(**options: Any) -> Any:
    return make_recipe(teacher={"backend": "tutor"}, arms=[{"name": "a", **options}])


@pytest.mark.parametrize(
    "options",
    [
        {"objective": "sft", "critique": "none"},
        {"objective": "refine", "critique": "shuffled"},
        {"objective": "cft", "critique": "shuffled"},
        {"objective": "cft", "critique": "none"},
        {"objective": "distilled_sft", "corrupt": {"p": 1.0}},
        {"objective": "mixture", "options": {"parts": {"cgd": 1, "cft": 1}}, "critique": "placeholder"},
    ],
)
def test_an_objective_that_reads_no_critique_or_writes_it_refuses_another_one(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="arm a: critique and corrupt change the critique in the context, which"):
        resolve(arms_of(**options))


def test_a_mixture_that_reads_critiques_in_part_may_have_another_one() -> None:
    resolve(arms_of(objective="mixture", options={"parts": {"distilled_sft": 1, "cgd": 1}}, critique="none"))


def test_the_critique_of_another_draft_wants_several_drafts() -> None:
    with pytest.raises(UserError, match=r"needs several drafts of a prompt, and draft.n is 1; set draft.n to 2"):
        resolve(arms_of(objective="cgd", critique="other_draft"))


def test_only_an_own_critique_is_corrupted() -> None:
    with pytest.raises(ValueError, match="corrupt changes the record's own critique"):
        ArmConfig.model_validate({"name": "a", "objective": "cgd", "critique": "none", "corrupt": {"p": 0.1}})
