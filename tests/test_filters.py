"""Run with: pytest tests/test_filters.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgd import filters
from cgd.config import Recipe
from cgd.config.dataset import ByGain
from cgd.errors import UserError
from cgd.filters import filter_records, information_gains
from cgd.records import Prompt, Record
from cgd.resolve import resolve
from cgd.reviews import Review, save_review
from cgd.runfolder import RunFolder
from cgd.scoring.contexts import Question
from cgd.scoring.run import score_records
from cgd.stored import stored_records
from tests.builders import add_records, make_prompts, make_recipe

LONG = "A farmer sells nine crates of plums on Monday and twice as many crates on the next market day"


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    opened = RunFolder(tmp_path)
    yield opened
    opened.store.close()


def records() -> list[Record]:
    same, other, third = make_prompts([LONG, "What is 2 + 3?", "Name a colour."])
    return [
        Record(same, draft="d", critique="c", refinement="r", key="1"),
        Record(other, draft="d", critique=f"It says: {LONG.lower()}", refinement="r", key="2"),
        Record(third, draft="d", critique="c", refinement="r", key="3"),
    ]


def kept(folder: RunFolder, recipe: Recipe, tests: dict[str, list[Prompt]]) -> list[str]:
    return [record.key for record in filter_records(folder, recipe, records(), tests)]


def reasons(folder: RunFolder) -> dict[str, str]:
    rows = folder.store.query("SELECT record_id, reason FROM drops WHERE stage = 'filters'")
    return {row["record_id"].rpartition(":")[2]: row["reason"] for row in rows}


def test_records_that_share_a_stretch_with_a_test_prompt_are_left_out_where_the_recipe_says_so(
    folder: RunFolder,
) -> None:
    """The first by its prompt, the second by its critique; the third stays."""
    tests = {"sums": make_prompts([f"{LONG}, how many?"], name="test")}
    assert kept(folder, make_recipe(dataset={"contaminated": "drop"}), tests) == ["3"]
    found = reasons(folder)
    assert len(found) == 2 and "its prompt" in found["1"] and "its critique" in found["2"]
    assert all("of sums" in reason for reason in found.values())
    assert kept(folder, make_recipe(), tests) == ["1", "2", "3"], "counted, not left out"
    assert folder.store.query("SELECT * FROM drops") == []


def test_what_a_reader_rejected_is_left_out_until_the_review_is_taken_back(folder: RunFolder) -> None:
    first, second, _ = records()
    save_review(folder.store, Review(first.id, "reject", "misread"))
    save_review(folder.store, Review(second.id, "accept", ""))
    assert kept(folder, make_recipe(), {}) == ["2", "3"] and reasons(folder) == {"1": "rejected in review"}
    save_review(folder.store, Review(first.id, None, ""))
    assert kept(folder, make_recipe(), {}) == ["1", "2", "3"]


# By audit

STRETCH = "Take three of them and then add one more."
GOOD = ("3 + 2 = 8. Answer: 8", "The step '3 + 2 = 8' has a wrong result.", "Answer: 4")
FAULTY = {
    "answer_in_critique": (GOOD[0], f"{GOOD[1]} It is 4.", GOOD[2]),
    "solution_in_critique": (GOOD[0], f"{GOOD[1]} {STRETCH}", f"{STRETCH} Answer: 4"),
    "meta_talk": (GOOD[0], GOOD[1], "Here is the corrected solution: Answer: 4"),
    "unspecific": (GOOD[0], "This is wrong.", GOOD[2]),
    "unchanged": (GOOD[2], "'Answer: 4' is wrong.", GOOD[2]),
    "refinement_wrong": (GOOD[0], GOOD[1], "Answer: 5"),
    "verdict_wrong": (GOOD[0], "'3 + 2 = 8' is right.", GOOD[2]),
}


def made(folder: RunFolder, texts: list[tuple[str, str, str]]) -> list[Record]:
    """Records in the folder's store, whose answer is 4."""
    add_records(folder.store, make_prompts([f"What is x, number {'abcdefgh'[i]}?" for i in range(len(texts))]), texts)
    return stored_records(folder.store, make_recipe())


@pytest.mark.parametrize("fault", FAULTY)
def test_a_record_with_a_fault_is_left_out_where_the_recipe_names_the_fault(fault: str, folder: RunFolder) -> None:
    good, bad = made(folder, [GOOD, FAULTY[fault]])
    assert filter_records(folder, make_recipe(dataset={"drop": [fault]}), [good, bad], {}) == [good]
    assert list(reasons(folder)) == [bad.key[:12]]
    assert filter_records(folder, make_recipe(), [good, bad], {}) == [good, bad] and reasons(folder) == {}


def test_a_fault_has_its_own_reason_and_the_first_that_is_named_counts(folder: RunFolder) -> None:
    own = made(folder, [GOOD, *FAULTY.values()])
    names = list(FAULTY)
    assert filter_records(folder, make_recipe(dataset={"drop": names}), own, {}) == own[:1]
    assert len(set(reasons(folder).values())) == len(FAULTY)
    both = replace(own[1], critique="It is 4.")
    filter_records(folder, make_recipe(dataset={"drop": ["unspecific", "answer_in_critique"]}), [own[0], both], {})
    assert list(reasons(folder).values()) == ["critique names nothing of this draft"]


def test_what_has_no_verdict_is_not_called_wrong(folder: RunFolder) -> None:
    (own,) = made(folder, [FAULTY["refinement_wrong"]])
    unknown = replace(own, prompt=replace(own.prompt, answer=None))
    recipe = make_recipe(dataset={"drop": ["refinement_wrong", "verdict_wrong", "answer_in_critique"]})
    assert filter_records(folder, recipe, [unknown], {}) == [unknown]


def test_a_filter_that_leaves_nothing_is_refused(folder: RunFolder) -> None:
    bad = made(folder, [FAULTY["unspecific"]])
    with pytest.raises(UserError, match=r"leave none of 1 records .*critique names nothing of this draft"):
        filter_records(folder, make_recipe(dataset={"drop": ["unspecific"]}), bad, {})
    assert filter_records(folder, make_recipe(dataset={"drop": ["unspecific"]}), [], {}) == []


# By information gain

GAINS = {"1": 0.5, "2": -0.25, "3": 0.125}


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ({"min_gain": 0.0}, ["1", "3"]),
        ({"min_gain": 0.125}, ["1", "3"]),
        ({"by_gain": {"keep": 0.34}}, ["1"]),
        ({"by_gain": {"keep": 0.67}}, ["1", "3"]),
        ({"by_gain": {"keep": 0.67, "order": "lowest"}}, ["2", "3"]),
        ({"by_gain": {"keep": 0.01}}, ["1"]),
        ({"by_gain": {"keep": 1.0}}, ["1", "2", "3"]),
        ({"min_gain": 0.0, "by_gain": {"keep": 0.5, "order": "lowest"}}, ["3"]),
    ],
)
def test_records_are_kept_by_the_gain_of_their_critiques(
    dataset: dict[str, Any], expected: list[str], folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share is of what is left: half of two is one; a hundredth of three is one still."""
    monkeypatch.setattr(filters, "information_gains", lambda *_: {one.id: GAINS[one.key] for one in records()})
    assert kept(folder, make_recipe(dataset=dataset), {}) == expected
    assert set(reasons(folder)) == {"1", "2", "3"} - set(expected)


def test_the_reason_tells_the_gain_or_the_share(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "information_gains", lambda *_: {one.id: GAINS[one.key] for one in records()[:2]})
    kept(folder, make_recipe(dataset={"min_gain": 0.0}), {})
    assert reasons(folder) == {
        "2": "information gain -0.250 nats a token, below 0",
        "3": "its texts can't be scored",
    }
    kept(folder, make_recipe(dataset={"by_gain": {"keep": 0.5}}), {})
    assert reasons(folder)["2"] == "not in the highest 50% by gain"


def test_rows_are_weighted_by_gain_and_those_without_any_are_left_out(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gains 0.5 and 0.125 have the mean 0.3125: weights 1.6 and 0.4; a prompt's own weight of 2 makes 1.6 into 3.2."""
    monkeypatch.setattr(filters, "information_gains", lambda *_: {one.id: GAINS[one.key] for one in records()})
    own = records()
    own[0] = replace(own[0], prompt=replace(own[0].prompt, meta={"weight": 2.0}))
    found = filter_records(folder, make_recipe(dataset={"weight_by_gain": True}), own, {})
    assert [one.prompt.meta["weight"] for one in found] == [pytest.approx(3.2), pytest.approx(0.4)]
    assert reasons(folder) == {"2": "information gain -0.250 nats a token, so of no weight"}


def test_a_random_share_is_not_scored_and_follows_the_seed(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "information_gains", None)
    dataset = {"by_gain": {"keep": 0.34, "order": "random"}}
    drawn = {tuple(kept(folder, make_recipe(dataset=dataset, seed=seed), {})) for seed in range(20)}
    assert drawn == {("1",), ("2",), ("3",)}
    assert set(reasons(folder).values()) == {"not in a random 34%"}
    assert kept(folder, make_recipe(dataset=dataset), {}) == kept(folder, make_recipe(dataset=dataset), {})


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=4), st.floats(-3, 3), min_size=1),
    st.floats(0.01, 1),
    st.sampled_from(["highest", "random", "lowest"]),
    st.integers(0, 3),
)
def test_a_smaller_share_is_part_of_a_larger_one(gain: dict[str, float], keep: float, order: Any, seed: int) -> None:
    """So the points of a sample-efficiency curve differ by the rows that are added alone."""

    def stays(share: float) -> set[str]:
        return set(gain) - {drop.record_id for drop in filters._outside(gain, ByGain(keep=share, order=order), seed)}

    assert stays(keep / 2) <= stays(keep) and len(stays(keep)) == max(1, round(keep * len(gain)))
    if order == "highest":
        assert min(gain[key] for key in stays(keep)) >= max([gain[k] for k in set(gain) - stays(keep)], default=-3)


def test_gains_are_of_the_untrained_student_and_scored_once(student: Path, folder: RunFolder) -> None:
    """H(ŷ | x, y') − H(ŷ | x, y', c) by the scores that the store keeps; asked again, nothing is made."""
    own = made(folder, [GOOD, FAULTY["meta_talk"]])
    recipe = make_recipe(student={"model": str(student)})
    found = information_gains(folder, recipe, own)
    again = score_records(folder.store, student, own, {}, "")
    assert again.made == 0
    entropies = {row["key"]: row["entropy"] for row in folder.store.query("SELECT key, entropy FROM scores")}
    for record in own:
        before, after = (
            fmean(map(float, entropies[again.keys[record.id][Question("refinement", context)]].strip("[]").split(",")))
            for context in ("x_draft", "x_draft_critique")
        )
        assert found[record.id] == pytest.approx(before - after)
    assert information_gains(folder, recipe, own) == found


# What a recipe may ask


@pytest.mark.parametrize(
    "dataset", [{"drop": ["unspecific"]}, {"min_gain": 0.0}, {"by_gain": {"keep": 0.5}}, {"weight_by_gain": True}]
)
def test_critiques_that_no_arm_needs_are_not_judged(dataset: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="no arm learns from a refinement"):
        resolve(make_recipe(dataset=dataset))


def test_a_random_share_needs_no_critiques() -> None:
    resolve(make_recipe(dataset={"by_gain": {"keep": 0.5, "order": "random"}}))
