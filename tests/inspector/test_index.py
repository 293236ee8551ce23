"""The index over a run's store. Run with: pytest tests/inspector/test_index.py."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cgd.audits import Audit, audit
from cgd.inspector import index
from cgd.inspector.index import prepare_index
from cgd.records import Grade, Record
from cgd.store import Store
from tests.builders import add_records, make_prompts
from tests.inspector.made_run import TEXTS, fill_run, index_run, refinement_keys


def refresh(folder: Path) -> list[dict[str, Any]]:
    index_run(folder)
    with closing(sqlite3.connect(folder / "inspect.sqlite")) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("SELECT * FROM entries ORDER BY position")]


def test_every_complete_record_has_its_audit_and_verdicts(tmp_path: Path, store: Store) -> None:
    fill_run(store)
    mended, kept, leaking = refresh(tmp_path)
    assert (mended["draft_right"], mended["refinement_right"], mended["verdict"]) == (0, 1, "wrong")
    assert (kept["draft_right"], kept["unchanged"], kept["verdict"]) == (1, 1, "right")
    assert (leaking["answer_in_critique"], leaking["meta_talk"]) == (1, 1)
    assert mended["title"] == "What is 2 + 2, question 0?"


def test_only_records_whose_texts_changed_are_audited_again(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_run(store)
    before = refresh(tmp_path)
    audited: list[str | None] = []

    def noted(record: Record) -> Audit:
        audited.append(record.refinement)
        return audit(record)

    monkeypatch.setattr(index, "audit", noted)
    assert refresh(tmp_path) == before
    assert audited == []
    key = refinement_keys(store)[1]
    store.replace_parsed([(key, "done", "Four it is", "plain 2", None, None)])
    after = refresh(tmp_path)
    assert audited == ["Four it is"]
    assert [row["key"] for row in after] == [row["key"] for row in before]
    assert after[1]["id"] > before[2]["id"], "the words of the old texts must not find it"
    assert after[1]["refinement_right"] is None, "a verdict on another text is none"


def test_records_that_the_recipe_no_longer_asks_for_are_gone(tmp_path: Path, store: Store) -> None:
    fill_run(store)
    first = refresh(tmp_path)[0]
    (prompt_id,) = [row["prompt_id"] for row in store.query("SELECT prompt_id FROM records LIMIT 1")]
    with store.transaction() as db:
        db.execute("DELETE FROM current WHERE stage = 'refinement' AND prompt_id != ?", (prompt_id,))
    assert [row["key"] for row in refresh(tmp_path)] == [first["key"]]


def test_a_run_without_records_has_an_empty_index(tmp_path: Path, store: Store) -> None:
    assert refresh(tmp_path) == []


def test_a_record_whose_refinement_failed_is_not_complete(tmp_path: Path, store: Store) -> None:
    add_records(store, make_prompts(["1?", "2?"]), [TEXTS[0], ("d", "c", None)])
    assert [row["title"] for row in refresh(tmp_path)] == ["1?"]


def test_what_is_yet_to_be_added_is_known_before(tmp_path: Path, store: Store) -> None:
    fill_run(store)
    stale = prepare_index(tmp_path / "run.sqlite", tmp_path / "inspect.sqlite")
    assert [record.key for record in stale] == refinement_keys(store)
    refresh(tmp_path)
    assert prepare_index(tmp_path / "run.sqlite", tmp_path / "inspect.sqlite") == []


def test_later_verdicts_reach_records_that_are_there(tmp_path: Path, store: Store) -> None:
    fill_run(store)
    refresh(tmp_path)
    key = refinement_keys(store)[0]
    store.add_grades({key: Grade(False, False, True, "5", "compared as numbers")}, "grader 2")
    assert [row["refinement_right"] for row in refresh(tmp_path)] == [0, 1, 1]
