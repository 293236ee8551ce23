"""The index of a run's records, `inspect.sqlite`: audits, verdicts and words, brought up to date when a run is opened.

A record is audited again only where its texts were parsed by another rule, or by another version of cgd. The store
itself is only read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from cgd.audits import audit
from cgd.inspector.rows import TEXTS
from cgd.progress import StageProgress
from cgd.prompts import conversation_text
from cgd.records import Prompt, Record
from cgd.store import load_messages

_TITLE = 200
"""Characters of a prompt that are shown in a list."""
_GROUP = 500


class Stale(NamedTuple):
    """A record whose entry is not there, or not of these texts and rules."""

    position: int
    key: str
    """Its refinement's."""
    stamp: str
    """Versions of cgd and of the rules that parsed its texts."""


def prepare_index(store: Path, index: Path) -> list[Stale]:
    """Make the index where it is absent, and bring places and verdicts of known records up to the store.

    Args:
        store: the run's database.
        index: the index.

    Returns:
        What has yet to be added, in the run's order.
    """
    with closing(_connect(store, index)) as db:
        db.execute("PRAGMA journal_mode = WAL")  # pages are read while records are added
        db.executescript(files("cgd.inspector").joinpath("index.sql").read_text(encoding="utf-8"))
        db.execute(f"CREATE {_words_table(db)}")
        db.executescript(f"BEGIN; {_REFRESH} COMMIT;")
        known = {row["key"]: row["stamp"] for row in db.execute("SELECT key, stamp FROM entries")}
        asked = [Stale(*row) for row in db.execute(_STAMPS, (version("cgd"),))]
        db.execute(f"PRAGMA user_version = {len(asked)}")  # how many entries there will be
        return [record for record in asked if known.get(record.key) != record.stamp]


def add_to_index(store: Path, index: Path, stale: Sequence[Stale]) -> None:
    """Audit records and add them, a group at a time: those that are there can be read meanwhile."""
    if not stale:
        return
    with closing(_connect(store, index)) as db, StageProgress("index", len(stale), "records") as progress:
        for start in range(0, len(stale), _GROUP):
            for record in stale[start : start + _GROUP]:
                _add_entry(db, record)
                progress.advance()
            db.commit()


def _connect(store: Path, index: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"file:{index}", uri=True)
    db.row_factory = sqlite3.Row
    db.execute("ATTACH ? AS run", (f"file:{store}?mode=ro",))
    return db


_STAMPS = """
SELECT u.position, r.key, ? || ' ' || d.parser || ' ' || c.parser || ' ' || r.parser AS stamp
FROM run.current AS u
JOIN run.replies AS r ON r.key = u.key
JOIN run.replies AS c ON c.key = r.upstream_key
JOIN run.replies AS d ON d.key = c.upstream_key
WHERE u.stage = 'refinement' AND u.task = '' AND r.text IS NOT NULL ORDER BY u.position
"""
_REFRESH = """
UPDATE entries SET
  position = (
    SELECT u.position FROM run.current AS u JOIN run.replies AS r ON r.key = u.key
    WHERE u.key = entries.key AND u.stage = 'refinement' AND u.task = '' AND r.text IS NOT NULL),
  draft_right = (SELECT flexible FROM run.grades WHERE grades.key = entries.draft_key),
  refinement_right = (SELECT flexible FROM run.grades WHERE grades.key = entries.key);
DELETE FROM entries WHERE position IS NULL;
"""


def _words_table(db: sqlite3.Connection) -> str:
    """The table of the records' words; without SQLite's full-text search, their texts."""
    options = {row[0] for row in db.execute("PRAGMA compile_options")}
    if "ENABLE_FTS5" in options:
        return "VIRTUAL TABLE IF NOT EXISTS words USING fts5(text, content='')"
    return "TABLE IF NOT EXISTS words (text TEXT)"


def _add_entry(db: sqlite3.Connection, record: Stale) -> None:
    row = db.execute(TEXTS, (record.key,)).fetchone()
    prompt = Prompt(row["prompt_id"], tuple(load_messages(row["messages"])), row["answer"], row["solution"])
    complete = Record(prompt, row["draft"], row["critique"], row["refinement"], key=record.key)
    found = audit(complete)
    question = conversation_text(prompt.messages)
    values = (
        *(record.key, record.stamp, complete.id, row["draft_key"], question[:_TITLE]),
        *(found.answer_in_critique, found.solution_in_critique, found.meta_talk),
        *(found.specific, found.verdict, found.unchanged, record.position),
        *(_verdict(db, key) for key in (row["draft_key"], record.key)),
    )
    marks = ", ".join("?" * len(values))
    entry = db.execute(f"INSERT OR REPLACE INTO entries VALUES (NULL, {marks})", values)
    texts = (complete.id, question, row["draft"], row["critique"], row["refinement"], row["answer"])
    words = "\n".join(text for text in texts if text)
    db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (entry.lastrowid, words))


def _verdict(db: sqlite3.Connection, key: str) -> int | None:
    row = db.execute("SELECT flexible FROM run.grades WHERE key = ?", (key,)).fetchone()
    return row["flexible"] if row else None
