"""The first page of a large run. Run with: pytest tests/inspector/test_speed.py."""

from __future__ import annotations

import asyncio
import time
from functools import cache
from pathlib import Path

import pytest

from cgd.audits import Audit, audit
from cgd.inspector.index import add_to_index, prepare_index
from cgd.inspector.server import make_app
from cgd.records import Prompt, Record
from cgd.store import Store
from tests.builders import user
from tests.inspector.made_run import TEXTS

ROWS = 100_000
_ENDINGS = {"draft": "0a", "critique": "0b", "refinement": "0c"}
_FILLER = " ".join(f"word{number}" for number in range(120))


def fill(store: Store) -> None:
    """Records of about 3 kB, straight into the tables."""
    columns = "key, stage, prompt_id, upstream_key, sample, messages, backend, state, text, parser, prompt_tokens, "
    columns += "completion_tokens, latency_s, server, broken, spent_prompt_tokens, spent_completion_tokens, spent_cost"
    marks = "?, ?, ?, ?, 0, '[]', '{}', 'done', ?, 'plain 1', 5, 10, 0.1, '', 0, 5, 10, 0"
    texts = [[f"{text}\n{_FILLER}" for text in record] for record in TEXTS]
    numbers = range(ROWS)
    with store.transaction() as db:
        question = '[{{"role": "user", "content": "What is {} + 2?"}}]'
        prompts = ((f"item-{n}", question.format(n)) for n in numbers)
        db.executemany("INSERT INTO prompts VALUES (?, ?, '4', NULL, '', '{}')", prompts)
        for stage, made_from, text in (("draft", "", 0), ("critique", "draft", 1), ("refinement", "critique", 2)):
            rows = ((key(n, stage), stage, f"item-{n}", key(n, made_from), texts[n % 3][text]) for n in numbers)
            db.executemany(f"INSERT INTO replies ({columns}, stored_at) VALUES ({marks}, 0)", rows)
            places = ((stage, n, key(n, stage), f"item-{n}") for n in numbers)
            db.executemany("INSERT INTO current VALUES (?, '', '', 0, ?, ?, ?)", places)
        grades = ((key(n, "refinement"),) for n in numbers)
        db.executemany("INSERT INTO grades VALUES (?, 'grader 1', 1, 1, 1, '4', '')", grades)


def key(number: int, stage: str) -> str:
    """A key as long as real ones; none of what nothing is made from."""
    return f"{number:062x}{_ENDINGS[stage]}" if stage else ""


@cache
def audit_once(draft: str, critique: str, refinement: str) -> Audit:
    return audit(Record(Prompt.create("item", user("What is 2 + 2?"), "4"), draft, critique, refinement))


@pytest.mark.slow
def test_the_first_page_of_100_000_records_takes_less_than_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first records are audited in earnest: there are three kinds, and the pages are what is measured."""
    store = Store(tmp_path / "run.sqlite")
    fill(store)
    store.close()
    paths = tmp_path / "run.sqlite", tmp_path / "inspect.sqlite"
    started = time.perf_counter()
    stale = prepare_index(*paths)
    print(f"looked through in {time.perf_counter() - started:.2f} s")
    started = time.perf_counter()
    add_to_index(*paths, stale[:1000])
    print(f"1,000 records added in {time.perf_counter() - started:.2f} s")
    monkeypatch.setattr(
        "cgd.inspector.index.audit", lambda record: audit_once(record.draft, record.critique, record.refinement)
    )
    add_to_index(*paths, stale[1000:])
    started = time.perf_counter()
    assert prepare_index(*paths) == []
    print(f"opened again in {time.perf_counter() - started:.2f} s")
    app = make_app(tmp_path, {})

    async def pages() -> dict[str, float]:
        seconds = {}
        for path in ("/", "/?after=99000", "/?draft=not+graded&audit=meta-talk", "/?q=word7", "/?q=99123"):
            started = time.perf_counter()
            assert (await app.client.get(path)).status_code == 200
            seconds[path] = time.perf_counter() - started
        return seconds

    seconds = asyncio.run(pages())
    print(seconds)
    for database in app.databases.values():
        database.close()
    assert max(seconds.values()) < 1
