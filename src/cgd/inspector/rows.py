"""Pages of records and single records, read from a connection to the store that the index is attached to."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

PAGE = 50

FILTERS: dict[str, dict[str, str]] = {
    "draft": {
        "right": "draft_right = 1",
        "wrong": "draft_right = 0",
        "not graded": "draft_right IS NULL",
    },
    "refinement": {
        "right": "refinement_right = 1",
        "wrong": "refinement_right = 0",
        "not graded": "refinement_right IS NULL",
        "same as the draft": "unchanged",
    },
    "critic": {
        "says right": "e.verdict = 'right'",
        "says wrong": "e.verdict = 'wrong'",
        "says neither": "e.verdict IS NULL",
        "is mistaken": "(e.verdict = 'right') != draft_right",
    },
    "audit": {
        "leak of answer or solution": "(ifnull(answer_in_critique, 0) OR solution_in_critique)",
        "leak of the answer": "answer_in_critique",
        "leak of the solution": "solution_in_critique",
        "no leak": "NOT (ifnull(answer_in_critique, 0) OR solution_in_critique)",
        "meta-talk": "meta_talk",
        "unspecific critique": "NOT specific",
    },
    "training": {
        "left out": "e.record_id IN (SELECT record_id FROM drops)",
        "not left out": "e.record_id NOT IN (SELECT record_id FROM drops)",
    },
    "review": {
        "accepted": "v.verdict = 'accept'",
        "rejected": "v.verdict = 'reject'",
        "with a note": "v.note != ''",
        "not reviewed": "v.record_id IS NULL",
    },
}
"""Conditions by name and label; none is made of anything that a user writes."""


TEXTS = """
SELECT p.id AS prompt_id, p.messages, p.answer, p.solution, d.text AS draft, c.text AS critique, r.text AS refinement,
       d.key AS draft_key
FROM replies AS r
JOIN replies AS c ON c.key = r.upstream_key
JOIN replies AS d ON d.key = c.upstream_key
JOIN prompts AS p ON p.id = r.prompt_id
WHERE r.key = ?
"""
"""Texts of a complete record, by its refinement's key."""


class Page(NamedTuple):
    """Some of the records that match, in the run's order."""

    entries: list[dict[str, Any]]
    total: int
    """How many match."""
    to_come: int
    """Records of the run that the index lacks as yet."""
    before: int | None
    """Position before which the previous page ends; None on the first."""
    after: int | None
    """Position after which the next page begins; None on the last."""


class Chosen(NamedTuple):
    """Which records are shown: labels by filter, and words that they hold."""

    labels: Mapping[str, str]
    search: str = ""


def read_page(db: sqlite3.Connection, chosen: Chosen, *, after: int = -1, before: int | None = None) -> Page:
    """A page of the records that match, by position: its cost does not grow with how far one has come.

    Args:
        db: the store, with the index attached as `inspect`.
        chosen: which records.
        after: position that the page follows.
        before: position that the page ends at, in place of `after`.
    """
    (expected,) = db.execute("PRAGMA inspect.user_version").fetchone()
    (indexed,) = db.execute("SELECT count(*) FROM inspect.entries").fetchone()
    where, values = _conditions(db, chosen)
    total = db.execute(f"SELECT count(*) {_FROM} WHERE {where}", values).fetchone()[0]
    bound = "position > ? ORDER BY position" if before is None else "position < ? ORDER BY position DESC"
    found = db.execute(
        f"SELECT {_COLUMNS} {_FROM} WHERE {where} AND {bound} LIMIT {PAGE + 1}",
        (*values, after if before is None else before),
    ).fetchall()
    entries = [dict(row) for row in found[:PAGE]]
    more = len(found) > PAGE
    if before is not None:
        entries.reverse()
    earlier, later = (after >= 0, more) if before is None else (more, True)
    return Page(
        entries,
        total,
        expected - indexed,
        entries[0]["position"] if entries and earlier else None,
        entries[-1]["position"] if entries and later else None,
    )


def read_neighbours(db: sqlite3.Connection, chosen: Chosen, position: int) -> tuple[str | None, str | None]:
    """Keys of the matching records before and after a position."""
    where, values = _conditions(db, chosen)
    found = [
        db.execute(f"SELECT e.key {_FROM} WHERE {where} AND {bound} LIMIT 1", (*values, position)).fetchone()
        for bound in ("position < ? ORDER BY position DESC", "position > ? ORDER BY position")
    ]
    before, after = (row["key"] if row else None for row in found)
    return before, after


def read_record(db: sqlite3.Connection, key: str) -> dict[str, Any] | None:
    """All that the run knows of a record, by its refinement's key; None where there is no such record."""
    entry = db.execute(f"SELECT {_COLUMNS} {_FROM} WHERE e.key = ?", (key,)).fetchone()
    if entry is None:
        return None
    texts = db.execute(TEXTS, (key,)).fetchone()
    answers = db.execute(_ANSWERS, (texts["prompt_id"],))
    scores = db.execute(_SCORES, (entry["record_id"],))
    drops = db.execute("SELECT DISTINCT reason FROM drops WHERE record_id = ?", (entry["record_id"],))
    return {
        **dict(entry),
        **dict(texts),
        "drops": [row["reason"] for row in drops],
        "answers": [dict(row) for row in answers],
        "scores": [dict(row) for row in scores],
    }


_FROM = "FROM inspect.entries AS e LEFT JOIN reviews AS v ON v.record_id = e.record_id"
_COLUMNS = """
e.key, e.record_id, e.title, e.position, answer_in_critique, solution_in_critique, meta_talk, specific, unchanged,
e.verdict AS critic, draft_right, refinement_right, v.verdict AS review, ifnull(v.note, '') AS note
"""
_ANSWERS = """
SELECT task, arm, seed, sample, text, error_class, strict, flexible, extracted, reason FROM predictions
WHERE prompt_id = ? ORDER BY task, arm != 'base', arm, seed, sample
"""
_SCORES = """
SELECT model, context, tokens, log_p, entropy FROM scores WHERE record_id = ? AND target = 'refinement'
ORDER BY model, length(context)
"""


def _conditions(db: sqlite3.Connection, chosen: Chosen) -> tuple[str, list[str]]:
    """The WHERE of a choice, and its values; labels that there are none of choose nothing."""
    parts = [FILTERS[name][label] for name, label in chosen.labels.items() if label in FILTERS.get(name, {})]
    words = [quoted or word for quoted, word in re.findall(r'"([^"\0]+)"|([^\s"\0]+)', chosen.search)]
    if not words:
        return " AND ".join(["position >= 0", *parts]), []
    if "fts5" in db.execute("SELECT sql FROM inspect.sqlite_master WHERE name = 'words'").fetchone()[0]:
        match, values = "words MATCH ?", [" ".join(f'"{word}"' for word in words)]
    else:
        match, values = " AND ".join(["instr(lower(text), lower(?))"] * len(words)), words
    return " AND ".join([*parts, f"e.id IN (SELECT rowid FROM inspect.words WHERE {match})"]), values
