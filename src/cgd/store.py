"""The run's store: one SQLite file (WAL, full sync) that anyone can query.

Replies are keyed by content and never overwritten once done. `current` says which rows the present
recipe asks for; rows of earlier recipes stay. A reply counts as done only once its transaction is on disk.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cgd.config import Price
from cgd.errors import UserError
from cgd.records import Grade, Message, Prompt, Reply, Request, State

SCHEMA_VERSION = 4
_SAME_TABLES = (2, 3)
"""Versions that differ from the present one in their views alone."""
# Faults that come from outside (primary result codes of SQLite); any other is a bug.
_OUTSIDE = {
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY),
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM),
}

Evaluated = Literal["prediction", "checkpoint", "self_refinement"]
"""Whose answers are graded: the selected checkpoints', those kept along the training, the students' refined ones."""


class StoredReply(NamedTuple):
    """A row of `replies` as later stages need it."""

    key: str
    state: State
    text: str | None
    completion_tokens: int
    error_class: str | None
    error: str | None


class RawReply(NamedTuple):
    """A reply before and after parsing."""

    key: str
    stage: str
    raw: str
    finish_reason: str | None
    state: State
    text: str | None


class Owner(NamedTuple):
    """Whose rows of a stage they are: all arms', or those of one arm and seed (of a task, or of a later round)."""

    task: str = ""
    arm: str = ""
    seed: int = 0


class Drop(NamedTuple):
    """A record that no arm trains on (arms share their rows), and why."""

    record_id: str
    reason: str


class Store:
    """Rows of one run. Not shared between threads; one writing process at a time (the run's lock)."""

    def __init__(self, path: Path) -> None:
        """Open or create the database at `path`.

        Raises:
            UserError: the file is locked by another process, is no run store, or of another version.
        """
        self.path = path
        try:
            with ExitStack() as undo:
                self._db = sqlite3.connect(path, timeout=10, isolation_level=None)
                undo.callback(self._db.close)
                self._db.row_factory = sqlite3.Row
                # Rows of about 2 kB, in a page of the usual 4 kB, would leave almost half of the file empty.
                for pragma in ("page_size = 8192", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                    self._db.execute(f"PRAGMA {pragma}")
                self._create_or_check_schema()
                undo.pop_all()
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"can't open the run store {path}: {error}. Is another process using it, or is it no cgd run store?"
            ) from error

    def close(self) -> None:
        """Close the database; everything committed is already on disk."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All statements inside become durable together, or not at all.

        Raises:
            UserError: another process holds the database, the disk is full or can't be written.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk ends it by itself
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _OUTSIDE:
                raise
            raise UserError(
                f"can't write to the run store {self.path}: {error}. Is the disk full, or another process using the "
                "store? What was committed before is safe; the same command continues"
            ) from error

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Rows of a read-only question."""
        return self._db.execute(sql, parameters).fetchall()

    def add_prompts(self, prompts: Iterable[Prompt]) -> None:
        """Store prompts; ids are bound to content, so a known id needs no update."""
        rows = [(p.id, _dump(list(p.messages)), p.answer, p.solution, p.source, _dump(dict(p.meta))) for p in prompts]
        with self.transaction() as db:
            db.executemany("INSERT OR IGNORE INTO prompts VALUES (?, ?, ?, ?, ?, ?)", rows)

    def set_current(
        self, stage: str, requests: Sequence[Request], *, task: str = "", arm: str = "", seed: int = 0
    ) -> None:
        """Say that these requests, in this order, are what the present recipe asks of a stage."""
        owner = (stage, task, arm, seed)
        rows = [(*owner, position, r.key, r.record.prompt.id) for position, r in enumerate(requests)]
        with self.transaction() as db:
            db.execute("DELETE FROM current WHERE stage = ? AND task = ? AND arm = ? AND seed = ?", owner)
            db.executemany("INSERT INTO current VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def keep_current(self, stage: Literal["later rounds"] | Evaluated, owners: Iterable[Owner]) -> None:
        """Forget (not delete) which rows of a stage of the evaluation, or of later rounds, belonged to others."""
        which = "task LIKE 'round %'" if stage == "later rounds" else f"stage = '{stage}'"
        wanted = set(owners)
        groups = self.query(f"SELECT DISTINCT task, arm, seed FROM current WHERE {which}")
        gone = [tuple(group) for group in groups if tuple(group) not in wanted]
        with self.transaction() as db:
            db.executemany(f"DELETE FROM current WHERE {which} AND task = ? AND arm = ? AND seed = ?", gone)

    def add_replies(
        self,
        rows: Sequence[tuple[Request, Reply, State, str | None]],
        *,
        backend: str,
        parser: str,
        price: Price | None = None,
    ) -> None:
        """Commit a group of replies durably; a done reply is never replaced, a failed one counts its attempts.

        Args:
            rows: request, raw reply, state, parsed text (None where failed).
            backend: the backend's identity as JSON.
            parser: name and version of the parsing rule.
            price: what its tokens cost.
        """
        values = [
            (
                request.key,
                request.stage,
                request.record.prompt.id,
                request.upstream,
                request.sample,
                _dump(list(request.messages)),
                backend,
                state,
                text,
                reply.text,
                parser,
                reply.finish_reason,
                reply.prompt_tokens,
                reply.completion_tokens,
                reply.latency_s,
                reply.server,
                reply.broken,
                reply.error_class,
                reply.error,
                reply.prompt_tokens,
                reply.completion_tokens,
                price.cost(reply.prompt_tokens, reply.completion_tokens) if price else 0.0,
                time.time(),
            )
            for request, reply, state, text in rows
        ]
        with self.transaction() as db:
            db.executemany(_sql("upsert_reply"), values)

    def replies(self, keys: Sequence[str]) -> dict[str, StoredReply]:
        """The stored replies among `keys`."""
        columns = ", ".join(StoredReply._fields)
        return {row["key"]: StoredReply(*row) for row in self._by_key(f"SELECT {columns} FROM replies", keys)}

    def states(self, keys: Sequence[str]) -> dict[str, State]:
        """State of the stored replies among `keys`."""
        return {row["key"]: row["state"] for row in self._by_key("SELECT key, state FROM replies", keys)}

    def spent(self) -> tuple[int, float]:
        """Tokens (prompts and replies) and currency of every attempt at every row, of the present recipe or not."""
        ((tokens, cost),) = self.query(
            "SELECT SUM(spent_prompt_tokens + spent_completion_tokens), SUM(spent_cost) FROM replies"
        )
        return tokens or 0, cost or 0.0

    def raw_replies(self) -> Iterator[RawReply]:
        """Every reply that has a raw text, parsed or not."""
        columns = ", ".join(RawReply._fields)
        for row in self._db.execute(f"SELECT {columns} FROM replies WHERE raw IS NOT NULL ORDER BY key"):
            yield RawReply(*row)

    def replace_parsed(self, rows: Sequence[tuple[str, State, str | None, str, str | None, str | None]]) -> None:
        """Replace what was parsed from raw replies, and forget verdicts on the old texts.

        Args:
            rows: key, state, text, parser, error class, error.
        """
        with self.transaction() as db:
            db.executemany(
                "UPDATE replies SET state = ?, text = ?, parser = ?, error_class = ?, error = ? WHERE key = ?",
                [(*values, key) for key, *values in rows],
            )
            db.executemany("DELETE FROM grades WHERE key = ?", [(row[0],) for row in rows])

    def add_grades(self, grades: Mapping[str, Grade], grader: str) -> None:
        """Store verdicts by prediction key, replacing those of another grader version."""
        rows = [(key, grader, *grade) for key, grade in grades.items()]
        with self.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO grades VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def graded(self, keys: Sequence[str], grader: str) -> dict[str, bool | None]:
        """Strict verdicts of this grader version among `keys`; None where a prediction is unscored."""
        rows = self._by_key("SELECT key, grader, strict FROM grades", keys)
        own = [row for row in rows if row["grader"] == grader]
        return {row["key"]: None if row["strict"] is None else bool(row["strict"]) for row in own}

    def set_drops(self, stage: str, drops: Sequence[Drop]) -> None:
        """Replace the list of records that a stage left out of training."""
        with self.transaction() as db:
            db.execute("DELETE FROM drops WHERE stage = ?", (stage,))
            db.executemany(
                "INSERT INTO drops VALUES (?, ?, ?)", [(drop.record_id, stage, drop.reason) for drop in drops]
            )

    def set_checkpoints(self, infos: Mapping[tuple[str, int], Mapping[str, Any]], *, replace: bool = True) -> None:
        """Store the account of trained checkpoints by (arm, seed): in place of all others, or only of their own."""
        rows = [(arm, seed, _dump(dict(info))) for (arm, seed), info in infos.items()]
        with self.transaction() as db:
            if replace:
                db.execute("DELETE FROM checkpoints")
            db.executemany("INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?)", rows)

    def note_selection(self, job: tuple[str, int], selected: str, scores: Mapping[str, float]) -> None:
        """Add to a checkpoint's account which of the kept ones was selected, and the score of each."""
        found = _dump({"selected": selected, "held_out_accuracy": dict(scores)})
        with self.transaction() as db:
            db.execute("UPDATE checkpoints SET info = json_patch(info, ?) WHERE arm = ? AND seed = ?", (found, *job))

    def _by_key(self, select: str, keys: Sequence[str]) -> Iterator[sqlite3.Row]:
        for start in range(0, len(keys), 500):
            chunk = keys[start : start + 500]
            marks = ", ".join("?" * len(chunk))
            yield from self._db.execute(f"{select} WHERE key IN ({marks})", chunk)

    def _create_or_check_schema(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, *_SAME_TABLES, SCHEMA_VERSION):
            raise UserError(f"{self.path} has store version {version}, this cgd reads version {SCHEMA_VERSION}")
        if version == SCHEMA_VERSION:
            return
        tables = "" if version else _sql("schema")
        statements = f"{tables} {_sql('views')} PRAGMA user_version = {SCHEMA_VERSION};"
        self._db.executescript(f"BEGIN IMMEDIATE; {statements} COMMIT;")


@cache
def _sql(name: str) -> str:
    return files("cgd").joinpath(f"{name}.sql").read_text(encoding="utf-8")


def load_messages(text: str) -> list[Message]:
    """Messages from a JSON column."""
    messages: list[Message] = json.loads(text)
    return messages


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
