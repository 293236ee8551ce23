"""Run with: pytest tests/dataset/test_build.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from cgd.config import ContextDropoutConfig
from cgd.dataset.build import rows_hash, training_rows, write_parquet
from cgd.errors import UserError
from cgd.plugins import Objective, build_objective
from cgd.records import Example, Prompt, Record, TrainingRow
from cgd.store import Drop
from tests.builders import user


def objectives(*names: str) -> dict[str, Objective]:
    return {name: build_objective(name, {}) for name in names}


def record(index: int, *, refined: bool = True, solved: bool = True) -> Record:
    prompt = Prompt.create(f"item-{index}", user(f"{index} + 1?"), solution=f"y* {index}" if solved else None)
    full = Record(prompt, f"y' {index}", f"c {index}", f"ŷ {index}", key=f"{index:064x}")
    return full if refined else replace(full, critique=None, refinement=None)


def row(target: str, context: str = "1 + 1?", name: str = "a") -> TrainingRow:
    return TrainingRow(name, Example(user(context), target))


# Rows


def test_every_arm_has_a_row_for_every_record_in_their_order() -> None:
    rows, drops = training_rows([record(index) for index in (2, 0, 1)], objectives("cgd", "sft", "cft"))
    assert {arm: [row.example.target for row in rows[arm]] for arm in rows} == {
        "cgd": ["ŷ 2", "ŷ 0", "ŷ 1"],
        "sft": ["y* 2", "y* 0", "y* 1"],
        "cft": ["c 2", "c 0", "c 1"],
    }
    assert [row.record_id for row in rows["cgd"]] == [record(index).id for index in (2, 0, 1)]
    assert drops == []


def test_a_record_that_one_arm_can_not_use_is_left_out_of_all() -> None:
    """Record 1 has no refinement, record 2 no solution: cgd and sft both train on record 0 alone."""
    records = [record(0), record(1, refined=False), record(2, solved=False)]
    rows, drops = training_rows(records, objectives("cgd", "sft"))
    assert {arm: [row.record_id for row in rows[arm]] for arm in rows} == {
        "cgd": [records[0].id],
        "sft": [records[0].id],
    }
    assert drops == [Drop(records[1].id, "has no refinement"), Drop(records[2].id, "has no solution")]


def test_what_no_arm_needs_may_be_absent() -> None:
    rows, drops = training_rows([record(1, refined=False)], objectives("sft"))
    assert ([row.example.target for row in rows["sft"]], drops) == (["y* 1"], [])


def test_all_that_a_record_lacks_is_named() -> None:
    records = [record(0), record(1, refined=False, solved=False)]
    _, drops = training_rows(records, objectives("cgd", "cft", "sft"))
    assert drops == [Drop(records[1].id, "has no critique, refinement, solution")]


def test_training_on_nothing_is_refused_with_the_reasons() -> None:
    with pytest.raises(UserError, match=r"of 2 records none is complete \(has no refinement; has no solution\)"):
        training_rows([record(0, refined=False), record(1, solved=False)], objectives("cgd", "sft"))
    with pytest.raises(UserError, match=r"of 0 records none is complete \(no prompt came through"):
        training_rows([], objectives("cgd"))


def test_a_row_comes_with_the_context_that_its_arm_drops_and_with_its_weight() -> None:
    """Cgd without its critique is refine; without the draft, too, it is the prompt alone; sft has no dropout here."""
    one = record(0)
    weighted = replace(one, prompt=replace(one.prompt, meta={"weight": 2}))
    for drop, alike in (("critique", "refine"), ("draft_and_critique", "distilled_sft")):
        dropout = ContextDropoutConfig.model_validate({"p": 0.5, "drop": drop})
        rows, _ = training_rows([weighted], objectives("cgd", "sft"), {"cgd": dropout})
        assert rows["cgd"][0].example == build_objective("cgd", {}).example(one)
        assert rows["cgd"][0].reduced == build_objective(alike, {}).example(one)
        assert (rows["sft"][0].reduced, rows["sft"][0].weight, rows["cgd"][0].weight) == (None, 2.0, 2.0)


@pytest.mark.parametrize(
    "change",
    [
        TrainingRow("a", Example(user("1 + 1?"), "3")),
        TrainingRow("a", Example(user("1 + 1?"), "2"), weight=0.5),
        TrainingRow("a", Example(user("1 + 1?"), "2"), reduced=Example(user("?"), "2")),
    ],
)
def test_target_weight_and_dropped_context_all_change_what_rows_teach(change: TrainingRow) -> None:
    assert rows_hash([change]) != rows_hash([row("2")])
    assert rows_hash([change]) == rows_hash([change._replace(record_id="b")])


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_arms_train_on_the_same_records_and_no_record_is_lost(made: list[tuple[bool, bool]]) -> None:
    records = [record(index, refined=refined, solved=solved) for index, (refined, solved) in enumerate(made)]
    if not any(refined and solved for refined, solved in made):
        with pytest.raises(UserError):
            training_rows(records, objectives("cgd", "sft"))
        return
    rows, drops = training_rows(records, objectives("cgd", "sft"))
    kept = [row.record_id for row in rows["cgd"]]
    assert kept == [row.record_id for row in rows["sft"]]
    assert sorted([*kept, *(drop.record_id for drop in drops)]) == sorted(one.id for one in records)


# Hashes


def test_the_hash_is_of_what_the_rows_teach_in_their_order() -> None:
    one, two = row("2"), row("3")
    assert rows_hash([one, two]) != rows_hash([two, one])
    assert rows_hash([one]) != rows_hash([two])
    assert rows_hash([one]) != rows_hash([row("2", context="2 + 2?")])
    assert rows_hash([one]) != rows_hash([one, one])
    assert rows_hash([one]) == rows_hash([row("2", name="b")])


# Files


def test_rows_are_written_as_text_for_other_tools(tmp_path: Path) -> None:
    path = tmp_path / "dataset" / "cgd.parquet"
    write_parquet([row("zwei ②", "1 + 1?\u2028"), row("3", name="b")._replace(weight=0.5)], path)
    assert parquet.read_table(path).to_pylist() == [
        {
            "record_id": "a",
            "messages": json.dumps(list(user("1 + 1?\u2028")), ensure_ascii=False),
            "target": "zwei ②",
            "weight": 1.0,
        },
        {"record_id": "b", "messages": json.dumps(list(user("1 + 1?"))), "target": "3", "weight": 0.5},
    ]
    assert [file.name for file in path.parent.iterdir()] == ["cgd.parquet"]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "cgd.parquet"
    write_parquet([row("1")] * 5, path)
    write_parquet([row("2")], path)
    assert [one["target"] for one in parquet.read_table(path).to_pylist()] == ["2"]
