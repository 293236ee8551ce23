"""Pages of records. Run with: pytest tests/inspector/test_rows.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cgd.inspector import index
from cgd.inspector.rows import FILTERS, Chosen, read_neighbours, read_page, read_record
from cgd.reviews import Review, save_review
from cgd.store import Store
from tests.inspector.made_run import fill_run, index_run, open_run, refinement_keys

COUNT = 120
ALL = Chosen({})


def connect(folder: Path) -> sqlite3.Connection:
    index_run(folder)
    db = sqlite3.connect(folder / "run.sqlite")
    db.row_factory = sqlite3.Row
    db.execute("ATTACH ? AS inspect", (str(folder / "inspect.sqlite"),))
    return db


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """120 records: a third each mended, kept and leaking."""
    folder = tmp_path_factory.mktemp("large")
    store = open_run(folder)
    ids = fill_run(store, COUNT)
    save_review(store, Review(ids[4], "accept", ""))
    save_review(store, Review(ids[5], "reject", "no"))
    save_review(store, Review(ids[6], None, "odd"))
    db = connect(folder)
    yield db
    db.close()
    store.close()


def positions(db: sqlite3.Connection, chosen: Chosen) -> list[int]:
    """Of all that match, page after page."""
    found, after = [], -1
    while True:
        page = read_page(db, chosen, after=after)
        found += [entry["position"] for entry in page.entries]
        if page.after is None:
            return found
        after = page.after


def test_pages_forward_hold_every_record_once_in_the_runs_order(large: sqlite3.Connection) -> None:
    assert positions(large, ALL) == list(range(COUNT))


def test_pages_backward_end_at_the_first(large: sqlite3.Connection) -> None:
    """120 records in pages of 50: the page before 100 is 50 to 99, the one before that the first."""
    last = read_page(large, ALL, after=99)
    assert (last.before, last.after) == (100, None)
    middle = read_page(large, ALL, before=last.before)
    assert [entry["position"] for entry in middle.entries] == list(range(50, 100))
    first = read_page(large, ALL, before=middle.before)
    assert ([entry["position"] for entry in first.entries], first.before) == (list(range(50)), None)
    assert first.after == 49


@pytest.mark.parametrize(
    ("name", "label", "expected"),
    [
        ("draft", "right", range(1, COUNT, 3)),
        ("draft", "wrong", sorted([*range(0, COUNT, 3), *range(2, COUNT, 3)])),
        ("draft", "not graded", []),
        ("refinement", "right", range(COUNT)),
        ("refinement", "same as the draft", range(1, COUNT, 3)),
        ("critic", "says right", range(1, COUNT, 3)),
        ("critic", "is mistaken", []),
        ("audit", "meta-talk", range(2, COUNT, 3)),
        ("training", "left out", [2]),
        ("review", "accepted", [4]),
        ("review", "rejected", [5]),
        ("review", "with a note", [5, 6]),
    ],
)
def test_a_filter_shows_what_it_says(name: str, label: str, expected: list[int], large: sqlite3.Connection) -> None:
    found = Chosen({name: label})
    assert positions(large, found) == list(expected)
    assert read_page(large, found).total == len(expected)


@pytest.mark.parametrize(("name", "label"), [(name, label) for name in FILTERS for label in FILTERS[name]])
def test_every_filter_is_valid(name: str, label: str, large: sqlite3.Connection) -> None:
    assert 0 <= read_page(large, Chosen({name: label})).total <= COUNT


def test_filters_and_words_hold_together(large: sqlite3.Connection) -> None:
    assert positions(large, Chosen({"draft": "right"}, "question sound")) == list(range(1, COUNT, 3))
    assert positions(large, Chosen({"draft": "wrong"}, "sound")) == []


def test_a_quoted_phrase_is_found_as_a_whole(large: sqlite3.Connection) -> None:
    assert positions(large, Chosen({}, '"question 17"')) == [17]
    assert positions(large, Chosen({}, '"17 question"')) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=20))
def test_any_search_text_is_only_words(large: sqlite3.Connection, search: str) -> None:
    assert read_page(large, Chosen({}, search)).total <= COUNT


def test_an_unknown_label_chooses_nothing(large: sqlite3.Connection) -> None:
    assert read_page(large, Chosen({"draft": "1) OR (1"})).total == COUNT


def test_neighbours_are_those_that_match(large: sqlite3.Connection) -> None:
    key = dict(large.execute("SELECT position, key FROM inspect.entries").fetchall())
    assert read_neighbours(large, Chosen({"draft": "right"}), 4) == (key[1], key[7])
    assert read_neighbours(large, Chosen({"draft": "right"}), 0) == (None, key[1])


def test_a_record_holds_texts_verdicts_answers_scores_and_review(large: sqlite3.Connection) -> None:
    key = large.execute("SELECT key FROM inspect.entries WHERE position = 0").fetchone()[0]
    record = read_record(large, key)
    assert record is not None
    assert record["draft"].startswith("2 + 2 = 5")
    assert (record["draft_right"], record["refinement_right"], record["review"]) == (0, 1, None)
    assert [(answer["arm"], answer["strict"]) for answer in record["answers"]] == [("base", 0), ("cgd", 1)]
    assert [score["context"] for score in record["scores"]] == ["x", "x_draft", "x_draft_critique"]


def test_a_page_says_how_many_records_are_still_to_be_indexed(tmp_path: Path, store: Store) -> None:
    fill_run(store)
    paths = tmp_path / "run.sqlite", tmp_path / "inspect.sqlite"
    index.add_to_index(*paths, index.prepare_index(*paths)[:1])
    with closing(sqlite3.connect(paths[0])) as db:
        db.row_factory = sqlite3.Row
        db.execute("ATTACH ? AS inspect", (str(paths[1]),))
        page = read_page(db, ALL)
    assert (page.total, page.to_come) == (1, 2)


def test_an_unknown_record_is_none(large: sqlite3.Connection) -> None:
    assert read_record(large, "0" * 64) is None


def test_words_of_a_replaced_text_find_nothing(tmp_path: Path, store: Store) -> None:
    fill_run(store)
    connect(tmp_path).close()
    store.replace_parsed([(refinement_keys(store)[0], "done", "zebra", "plain 2", None, None)])
    db = connect(tmp_path)
    assert positions(db, Chosen({}, "zebra")) == [0]
    assert positions(db, Chosen({}, '"answer 4 What"')) == []
    db.close()


def test_without_full_text_search_words_are_looked_for_in_the_texts(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_words_table", lambda db: "TABLE IF NOT EXISTS words (text TEXT)")
    fill_run(store)
    db = connect(tmp_path)
    assert positions(db, Chosen({}, "SOUND question")) == [1]
    assert positions(db, Chosen({}, "100%")) == []
    db.close()
