"""What a reader thinks of a run's records; the next build of the training set leaves out what was rejected."""

from __future__ import annotations

import time
from typing import Literal, NamedTuple, get_args

from cgd.errors import UserError
from cgd.store import Store

Verdict = Literal["accept", "reject"]
REASON = "rejected in review"
LONGEST_NOTE = 10_000
"""Characters."""


class Review(NamedTuple):
    """A record's review; a note alone says nothing about its use."""

    record_id: str
    verdict: Verdict | None
    note: str


def save_review(store: Store, review: Review) -> None:
    """Keep a review durably in place of the record's earlier one; one that says nothing is forgotten.

    Raises:
        UserError: an unknown verdict, a note that is too long, or the store can't be written.
    """
    if review.verdict not in (None, *get_args(Verdict)):
        raise UserError(f"a verdict is accept, reject or none, not {review.verdict!r}")
    if len(review.note) > LONGEST_NOTE:
        raise UserError(f"a note has at most {LONGEST_NOTE} characters; this one has {len(review.note)}")
    with store.transaction() as db:
        if review.verdict is None and not review.note:
            db.execute("DELETE FROM reviews WHERE record_id = ?", (review.record_id,))
        else:
            db.execute("INSERT OR REPLACE INTO reviews VALUES (?, ?, ?, ?)", (*review, time.time()))


def rejected(store: Store) -> dict[str, str]:
    """Records that a reader rejected: the reason to leave each out, by record id."""
    rows = store.query("SELECT record_id FROM reviews WHERE verdict = 'reject' ORDER BY record_id")
    return {row["record_id"]: REASON for row in rows}
