"""The first page of a large run. Run with: pytest tests/inspector/test_speed.py."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from cgd.inspector.index import add_to_index, prepare_index
from cgd.inspector.server import make_app
from cgd.store import Store
from tests.inspector.made_run import TEXTS

ROWS = 100_000
_FILLER = " ".join(f"word{number}" for number in range(120))


def fill(store: Store) -> None:
    """Records of about 3 kB, straight into the tables."""
    columns = "key, stage, prompt_id, upstream_key, sample, messages, backend, state, text, parser, prompt_tokens, "
    columns += "completion_tokens, latency_s, server, broken, spent_prompt_tokens, spent_completion_tokens, spent_cost"
    marks = "?, ?, ?, ?, 0, '[]', '{}', 'done', ?, 'plain 1', 5, 10, 0.1, '', 0, 5, 10, 0"
    with store.transaction() as db:
        for number in range(ROWS):
            name, key = f"item-{number}", f"{number:062x}"
            question = f'[{{"role": "user", "content": "What is {number} + 2?"}}]'
            db.execute("INSERT INTO prompts VALUES (?, ?, '4', NULL, '', '{}')", (name, question))
            upstream = ""
            for stage, text in zip(("draft", "critique", "refinement"), TEXTS[number % 3], strict=True):
                row = (f"{key}{stage[:2]}".replace("dr", "0a").replace("cr", "0b").replace("re", "0c"), stage, name)
                db.execute(
                    f"INSERT INTO replies ({columns}, stored_at) VALUES ({marks}, 0)",
                    (*row, upstream, f"{text}\n{_FILLER}"),
                )
                upstream = row[0]
                db.execute("INSERT INTO current VALUES (?, '', '', 0, ?, ?, ?)", (stage, number, upstream, name))
            grade = (upstream, "grader 1", 1, 1, 1, "4", "")
            db.execute("INSERT INTO grades VALUES (?, ?, ?, ?, ?, ?, ?)", grade)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_first_page_of_100_000_records_takes_less_than_a_second(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.sqlite")
    fill(store)
    store.close()
    paths = tmp_path / "run.sqlite", tmp_path / "inspect.sqlite"
    started = time.perf_counter()
    stale = prepare_index(*paths)
    add_to_index(*paths, stale[:500])
    first_group = time.perf_counter() - started
    add_to_index(*paths, stale[500:])
    print(f"first records after {first_group:.2f} s, all after {time.perf_counter() - started:.1f} s")
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
