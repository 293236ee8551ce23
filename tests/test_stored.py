"""Run with: pytest tests/test_stored.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cgd.config import Recipe
from cgd.dataset.build import write_parquet
from cgd.errors import UserError
from cgd.records import Prompt, Record
from cgd.store import Drop, Store
from cgd.stored import run_recipe, stored_records, stored_rows
from tests.builders import add_records, answer, ask, make_prompts, make_recipe, user

ARMS: list[dict[str, object]] = [
    {"name": "ours", "objective": "cgd"},
    {"name": "own", "objective": "distilled_sft", "options": {"target": "teacher_answer"}},
]
WHOLE = [("d 0", "c 0", "r 0"), ("d 1", "c 1", "r 1"), ("d 2", "c 2", None), ("d 3", None)]


def with_arms(folder: Path, *arms: dict[str, object]) -> Recipe:
    """A recipe with these arms, as the folder's manifest has it."""
    recipe = make_recipe(arms=list(arms), teacher={"backend": "tutor"})
    (folder / "manifest.json").write_text(json.dumps({"recipe": recipe.model_dump(mode="json")}))
    return recipe


def add_answers(store: Store, prompts: list[Prompt], texts: list[str | None]) -> None:
    """The teacher's own answer to each prompt."""
    requests = [ask("teacher_answer", Record(prompt), "teacher") for prompt in prompts]
    for request, text in zip(requests, texts, strict=True):
        answer(store, request, text)
    store.set_current("teacher_answer", requests)


# Records


def test_records_come_back_as_they_were_made(store: Store, tmp_path: Path) -> None:
    """Two of four came through; whatever hangs on a prompt is there again."""
    prompts = [
        Prompt.create(f"item-{index}", user(f"{index}?"), "4", "y*", "a file", {"weight": 0.5}) for index in range(4)
    ]
    add_records(store, prompts, WHOLE)
    found = stored_records(store, make_recipe())
    assert [(r.draft, r.critique, r.refinement, r.teacher_answer) for r in found] == [
        ("d 0", "c 0", "r 0", None),
        ("d 1", "c 1", "r 1", None),
    ]
    assert [record.prompt for record in found] == prompts[:2]
    keys = [row["key"] for row in store.query("SELECT key FROM current WHERE stage = 'refinement' ORDER BY position")]
    assert [record.id for record in found] == [f"{p.id}:{key[:12]}" for p, key in zip(prompts[:2], keys, strict=False)]


@pytest.mark.parametrize(("truncated", "kept"), [("drop", 1), ("keep", 2), ("retry", 1)])
def test_replies_that_were_cut_count_only_where_the_recipe_keeps_them(truncated: str, kept: int, store: Store) -> None:
    first, second = make_prompts(["1?", "2?"])
    add_records(store, [first], [("d", "c", "r")])
    requests = [ask("draft", Record(prompt), "draft") for prompt in (first, second)]
    store.add_prompts([second])
    answer(store, requests[1], "half a dr", truncated=True)
    store.set_current("draft", requests)
    for stage in ("critique", "refinement"):
        store.set_current(stage, [])
    assert len(stored_records(store, make_recipe(draft={"truncated": truncated}))) == kept


def test_rows_of_an_earlier_recipe_are_not_mixed_in(store: Store) -> None:
    """The drafts were made again, their critiques not yet: nothing is refined."""
    prompts = make_prompts(["1?"])
    add_records(store, prompts, [("d", "c", "r")])
    again = ask("draft", Record(prompts[0]), "another student")
    answer(store, again, "another draft")
    store.set_current("draft", [again])
    assert stored_records(store, make_recipe()) == []


def test_records_of_later_rounds_are_not_mixed_in(store: Store) -> None:
    prompts = make_prompts(["1?"])
    add_records(store, prompts, [("d", "c", "r")])
    second = ask("draft", Record(prompts[0]), "the trained student")
    answer(store, second, "a second draft")
    store.set_current("draft", [second], task="round 2", arm="cgd")
    assert [record.draft for record in stored_records(store, make_recipe())] == ["d"]


def test_a_request_without_a_reply_yet_is_no_record(store: Store) -> None:
    prompts = make_prompts(["1?", "2?"])
    store.add_prompts(prompts)
    requests = [ask("draft", Record(prompt), "student") for prompt in prompts]
    answer(store, requests[0], "d")
    store.set_current("draft", requests)
    assert [record.draft for record in stored_records(store, make_recipe())] == ["d"]


def test_the_teachers_own_answer_goes_to_every_record_of_its_prompt(store: Store) -> None:
    """Prompt 0 has two drafts and one answer, prompt 1 a failed answer."""
    prompts = make_prompts(["0?", "1?"])
    store.add_prompts(prompts)
    drafts = [ask("draft", Record(prompts[index]), "student", sample) for index, sample in ((0, 0), (0, 1), (1, 0))]
    for number, request in enumerate(drafts):
        answer(store, request, f"d {number}")
    store.set_current("draft", drafts)
    add_answers(store, prompts, ["a 0", None])
    found = stored_records(store, make_recipe())
    assert [(record.draft, record.teacher_answer) for record in found] == [("d 0", "a 0"), ("d 1", "a 0")]
    assert [record.key for record in found] == [request.key for request in drafts[:2]]


def test_answers_alone_make_records_without_a_key(store: Store) -> None:
    prompts = make_prompts(["0?", "1?"])
    store.add_prompts(prompts)
    add_answers(store, prompts, ["a 0", "a 1"])
    found = stored_records(store, make_recipe())
    assert [(record.id, record.teacher_answer) for record in found] == [(prompts[0].id, "a 0"), (prompts[1].id, "a 1")]


def test_a_run_without_replies_has_the_prompts_of_its_recipe(store: Store) -> None:
    found = stored_records(store, make_recipe(data={"task": "arithmetic", "n": 3}))
    assert len(found) == 3 and all(record.prompt.solution and not record.key for record in found)


# Rows


def test_any_objective_can_be_asked_for_though_no_arm_has_it(store: Store, tmp_path: Path) -> None:
    with_arms(tmp_path, *ARMS)
    add_records(store, make_prompts(["0?", "1?", "2?", "3?"]), WHOLE)
    found = stored_rows(tmp_path, store, objective="cft", arm=None)
    assert [row.example.target for row in found.rows] == ["c 0", "c 1"]
    assert [record.id for record in found.records] == [row.record_id for row in found.rows]
    assert found.name == "cft" and found.recipe.name == "trial"


def test_an_arm_has_the_rows_that_all_arms_share_an_objective_all_of_its_own(store: Store, tmp_path: Path) -> None:
    """Record 1 has no answer of the teacher's, and the arm `own` needs one."""
    with_arms(tmp_path, *ARMS)
    prompts = make_prompts(["0?", "1?"])
    add_records(store, prompts, WHOLE[:2])
    add_answers(store, prompts[:1], ["a 0"])
    arm = stored_rows(tmp_path, store, objective=None, arm="own")
    assert [row.example.target for row in arm.rows] == ["a 0"]


def test_what_lacks_a_part_is_listed(store: Store, tmp_path: Path) -> None:
    with_arms(tmp_path, *ARMS)
    first, second = (Prompt.create(f"item-{n}", user(f"{n}?"), solution="y*" if n == 0 else None) for n in (0, 1))
    add_records(store, [first, second], WHOLE[:2])
    found = stored_rows(tmp_path, store, objective="sft", arm=None)
    assert [row.example.target for row in found.rows] == ["y*"]
    (drop,) = found.left_out
    assert isinstance(drop, Drop) and drop.record_id.startswith(second.id) and drop.reason == "has no solution"


def test_an_arm_has_what_the_filters_left_and_the_critiques_that_it_reads(store: Store, tmp_path: Path) -> None:
    """Record 0 was filtered out; an objective has every record, with its own critique."""
    with_arms(tmp_path, {"name": "none", "objective": "cgd", "critique": "none"})
    add_records(store, make_prompts(["0?", "1?"]), WHOLE[:2])
    first = stored_records(store, make_recipe())[0]
    store.set_drops("filters", [Drop(first.id, "refinement is wrong")])
    arm = stored_rows(tmp_path, store, objective=None, arm="none")
    assert [row.example.target for row in arm.rows] == ["r 1"] and "c 1" not in arm.rows[0].example.context[-1][
        "content"
    ]
    every = stored_rows(tmp_path, store, objective="cgd", arm=None)
    assert [row.example.target for row in every.rows] == ["r 0", "r 1"]
    assert "c 1" in every.rows[1].example.context[-1]["content"]


@pytest.mark.parametrize(
    ("objective", "arm", "message"),
    [
        (None, None, r"give --arm \(this run's: ours, own\) or --objective, one of the two"),
        ("cgd", "ours", "one of the two"),
        (None, "cgd", "no arm 'cgd' in this run; it has: ours, own"),
        ("dpo", None, "no plug-in 'dpo' in objectives; allowed: cft, cgd"),
        ("sft", None, "no training rows: of 2 records none is complete"),
        ("mixture", None, "parts: required, but absent"),
    ],
)
def test_what_can_not_be_had_is_refused(
    objective: str | None, arm: str | None, message: str, store: Store, tmp_path: Path
) -> None:
    with_arms(tmp_path, *ARMS)
    add_records(store, make_prompts(["0?", "1?"]), WHOLE[:2])
    with pytest.raises(UserError, match=message):
        stored_rows(tmp_path, store, objective=objective, arm=arm)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no manifest.json"):
        run_recipe(tmp_path)


def test_rows_weighted_by_gain_have_the_weights_of_the_run(store: Store, tmp_path: Path) -> None:
    """What was left out or weighted by gain can't be told from texts alone: the run's own file has it."""
    add_records(store, make_prompts(["0?", "1?"]), WHOLE[:2])
    recipe = make_recipe(
        arms=[{"name": "ours", "objective": "cgd"}], teacher={"backend": "tutor"}, dataset={"weight_by_gain": True}
    )
    (tmp_path / "manifest.json").write_text(json.dumps({"recipe": recipe.model_dump(mode="json")}))
    with pytest.raises(UserError, match=r"rows are weighted by gain, and .*ours\.parquet is not there yet"):
        stored_rows(tmp_path, store, objective=None, arm="ours")
    as_made = stored_rows(tmp_path, store, objective="cgd", arm=None).rows
    weighted = [row._replace(weight=weight) for row, weight in zip(as_made, (0.5, 1.5), strict=True)]
    write_parquet(weighted, tmp_path / "dataset" / "ours.parquet")
    assert stored_rows(tmp_path, store, objective=None, arm="ours").rows == weighted
