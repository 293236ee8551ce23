"""Reviews in a run's store. Run with: pytest tests/inspector/test_reviews.py."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from cgd.errors import UserError
from cgd.reviews import LONGEST_NOTE, Review, rejected, save_review
from cgd.store import Store


def kept(store: Store) -> list[tuple[str, str | None, str]]:
    return [tuple(row) for row in store.query("SELECT record_id, verdict, note FROM reviews ORDER BY record_id")]


def test_only_rejected_records_are_left_out_of_training(store: Store) -> None:
    save_review(store, Review("a", "accept", ""))
    save_review(store, Review("b", "reject", "wrong unit"))
    save_review(store, Review("c", None, "odd"))
    assert rejected(store) == {"b": "rejected in review"}


def test_a_later_review_takes_the_place_of_an_earlier_one(store: Store) -> None:
    save_review(store, Review("a", "reject", ""))
    save_review(store, Review("a", "accept", "on reflection"))
    assert kept(store) == [("a", "accept", "on reflection")]


def test_a_review_that_says_nothing_is_forgotten(store: Store) -> None:
    save_review(store, Review("a", "reject", ""))
    save_review(store, Review("a", None, ""))
    assert kept(store) == []


@pytest.mark.parametrize(
    ("review", "message"),
    [
        (Review("a", "maybe", ""), "accept, reject or none"),  # type: ignore[arg-type]
        (Review("a", "accept", "x" * (LONGEST_NOTE + 1)), "at most 10000"),
    ],
)
def test_a_faulty_review_is_refused_with_its_reason(review: Review, message: str, store: Store) -> None:
    with pytest.raises(UserError, match=message):
        save_review(store, review)
    assert kept(store) == []


def test_the_database_itself_knows_no_third_verdict(store: Store) -> None:
    with pytest.raises(sqlite3.IntegrityError), store.transaction() as db:
        db.execute("INSERT INTO reviews VALUES ('a', 'maybe', '', 0)")


def test_reviews_outlive_the_process(tmp_path: Path, store: Store) -> None:
    save_review(store, Review("a", "reject", ""))
    store.close()
    again = Store(tmp_path / "run.sqlite")
    assert rejected(again) == {"a": "rejected in review"}
    again.close()
