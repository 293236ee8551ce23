"""Run with: pytest tests/test_store.py."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cgd.errors import UserError
from cgd.records import Grade, Prompt, Record, Reply, Request, State
from cgd.store import Drop, Owner, Store, StoredReply, load_messages
from tests.builders import FAILED, RIGHT, WRONG, add_predictions, add_records, answer, ask, make_prompts, user

ROOT = Path(__file__).parents[1]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores opened from here on wait 0.05 s for a lock, not 10."""
    connect = sqlite3.connect

    def connect_impatiently(path: Path, **options: Any) -> sqlite3.Connection:
        opened: sqlite3.Connection = connect(path, **options | {"timeout": 0.05})
        return opened

    monkeypatch.setattr(sqlite3, "connect", connect_impatiently)


def draft_requests(store: Store, count: int = 1) -> list[Request]:
    prompts = make_prompts([f"{index} + 1?" for index in range(count)])
    store.add_prompts(prompts)
    return [ask("draft", Record(prompt), "m") for prompt in prompts]


def put(store: Store, request: Request, reply: Reply, state: State, text: str | None) -> None:
    store.add_replies([(request, reply, state, text)], backend='{"model": "m"}', parser="plain/1")


# Replies


def test_a_reply_is_stored_whole_before_and_after_parsing(store: Store) -> None:
    (request,) = draft_requests(store)
    reply = Reply(request.key, "  2\n", "length", prompt_tokens=7, completion_tokens=3, latency_s=0.25)
    put(store, request, reply, "truncated", "2")
    (row,) = store.query("SELECT * FROM replies")
    expected = {
        "key": request.key,
        "stage": "draft",
        "prompt_id": request.record.prompt.id,
        "upstream_key": "",
        "sample": 0,
        "messages": json.dumps(list(request.messages)),
        "backend": '{"model": "m"}',
        "state": "truncated",
        "text": "2",
        "raw": "  2\n",
        "parser": "plain/1",
        "finish_reason": "length",
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "latency_s": 0.25,
        "error_class": None,
        "error": None,
        "attempts": 1,
    }
    assert {name: row[name] for name in expected} == expected
    assert store.replies([request.key]) == {request.key: StoredReply(request.key, "truncated", "2", 3, None, None)}


@pytest.mark.parametrize("state", ["done", "truncated"])
def test_a_reply_that_is_there_is_never_replaced(store: Store, state: State) -> None:
    (request,) = draft_requests(store)
    put(store, request, Reply(request.key, "first"), state, "first")
    put(store, request, Reply(request.key, "second"), "done", "second")
    put(store, request, Reply(request.key, error_class="Timeout"), "failed", None)
    (row,) = store.query("SELECT state, text, raw, attempts, error_class FROM replies")
    assert tuple(row) == (state, "first", "first", 1, None)


def test_a_failed_reply_counts_its_attempts_until_one_succeeds(store: Store) -> None:
    """Two failures and a success are three attempts; the last one's account stands."""
    (request,) = draft_requests(store)
    for error in ("no answer in 60 s", "no answer in 70 s"):
        put(store, request, Reply(request.key, error_class="Timeout", error=error), "failed", None)
    (row,) = store.query("SELECT state, text, error_class, error, attempts FROM replies")
    assert tuple(row) == ("failed", None, "Timeout", "no answer in 70 s", 2)
    put(store, request, Reply(request.key, "2", "stop"), "done", "2")
    (row,) = store.query("SELECT state, text, error_class, error, attempts FROM replies")
    assert tuple(row) == ("done", "2", None, None, 3)


def test_replies_are_found_among_more_keys_than_one_question_can_hold(store: Store) -> None:
    """1,100 keys are asked in chunks of 500; one in two is there."""
    requests = draft_requests(store, 1100)
    rows: list[tuple[Request, Reply, State, str | None]] = [(r, Reply(r.key, "x"), "done", "x") for r in requests[::2]]
    store.add_replies(rows, backend="{}", parser="plain/1")
    assert sorted(store.replies([r.key for r in requests])) == sorted(r.key for r in requests[::2])
    assert store.replies([]) == {}


def test_a_reply_to_a_prompt_that_is_not_stored_is_refused(store: Store) -> None:
    request = ask("draft", Record(Prompt.create("stranger", user("?"))), "m")
    with pytest.raises(sqlite3.IntegrityError):
        put(store, request, Reply(request.key, "x"), "done", "x")


def test_a_group_is_stored_whole_or_not_at_all(store: Store) -> None:
    (known,) = draft_requests(store)
    stranger = ask("draft", Record(Prompt.create("stranger", user("?"))), "m")
    rows: list[tuple[Request, Reply, State, str | None]] = [
        (request, Reply(request.key, "x"), "done", "x") for request in (known, stranger)
    ]
    with pytest.raises(sqlite3.IntegrityError):
        store.add_replies(rows, backend="{}", parser="plain/1")
    assert store.replies([known.key]) == {}
    put(store, known, Reply(known.key, "x"), "done", "x")
    assert list(store.replies([known.key])) == [known.key]


# What the present recipe asks for


def current(store: Store, stage: str) -> list[tuple[str, str, int, str]]:
    rows = store.query("SELECT task, arm, seed, key FROM current WHERE stage = ? ORDER BY task, arm, position", [stage])
    return [(row["task"], row["arm"], row["seed"], row["key"]) for row in rows]


def test_what_is_current_replaces_what_was_and_keeps_the_rows(store: Store) -> None:
    first, second, third = draft_requests(store, 3)
    for request in (first, second, third):
        answer(store, request, "x")
    store.set_current("draft", [first, second])
    store.set_current("critique", [first])
    store.set_current("draft", [third, second])
    assert current(store, "draft") == [("", "", 0, third.key), ("", "", 0, second.key)]
    assert current(store, "critique") == [("", "", 0, first.key)]
    assert len(store.replies([first.key, second.key, third.key])) == 3


def test_predictions_of_one_arm_and_seed_leave_those_of_others_alone(store: Store) -> None:
    (request,) = draft_requests(store)
    for arm, seed in (("cgd", 0), ("cgd", 1), ("sft", 0)):
        store.set_current("prediction", [request], task="sums", arm=arm, seed=seed)
    store.set_current("prediction", [], task="sums", arm="cgd", seed=1)
    assert current(store, "prediction") == [("sums", "cgd", 0, request.key), ("sums", "sft", 0, request.key)]


def test_predictions_of_arms_that_are_gone_are_forgotten_but_not_deleted(store: Store) -> None:
    prompts = make_prompts(["1 + 3?", "2 + 2?"])
    for arm, seed in (("base", 0), ("cgd", 0), ("cgd", 1), ("old", 0)):
        add_predictions(store, "sums", arm, prompts, [RIGHT, WRONG], seed=seed)
    add_predictions(store, "gone", "base", prompts, [RIGHT, WRONG])
    store.set_current("draft", [ask("draft", Record(prompts[0]), "m")])
    store.keep_current("prediction", [Owner("sums", "base", 0), Owner("sums", "cgd", 0), Owner("sums", "new", 0)])
    groups = {tuple(row) for row in store.query("SELECT DISTINCT task, arm, seed FROM predictions")}
    assert groups == {("sums", "base", 0), ("sums", "cgd", 0)}
    assert len(current(store, "draft")) == 1
    assert store.query("SELECT count(*) FROM replies")[0][0] == 10


# Prompts, grades, drops, checkpoints


def test_a_prompt_is_stored_once_with_all_it_holds(store: Store) -> None:
    prompt = Prompt.create("p", user("ü?"), "4", "2 + 2 = 4", "sums.jsonl:1", {"steps": [[2, "+", 2, 4]]})
    store.add_prompts([prompt, prompt])
    store.add_prompts([prompt])
    (row,) = store.query("SELECT * FROM prompts")
    assert load_messages(row["messages"]) == list(prompt.messages)
    assert (row["id"], row["answer"], row["solution"], row["source"]) == (
        prompt.id,
        "4",
        "2 + 2 = 4",
        "sums.jsonl:1",
    )
    assert json.loads(row["meta"]) == {"steps": [[2, "+", 2, 4]]}


def test_grades_are_known_by_the_grader_that_gave_them(store: Store) -> None:
    (request,) = draft_requests(store)
    answer(store, request, "4")
    assert store.graded([request.key], "grader 1") == {}
    store.add_grades({request.key: Grade(False, None, False, None, "timeout")}, "grader 1")
    assert store.graded([request.key], "grader 1") == {request.key: False}
    assert store.graded([request.key], "grader 2") == {}
    store.add_grades({request.key: Grade(True, True, True, "4", "equal")}, "grader 2")
    assert store.graded([request.key], "grader 1") == {}
    assert [tuple(row)[1:] for row in store.query("SELECT * FROM grades")] == [("grader 2", 1, 1, 1, "4", "equal")]


def test_drops_of_a_stage_are_replaced_and_those_of_others_stay(store: Store) -> None:
    store.set_drops("data", [Drop("a", "also a test prompt"), Drop("b", "also a test prompt")])
    store.set_drops("dataset", [Drop("c", "has no refinement")])
    store.set_drops("data", [Drop("b", "also a test prompt")])
    rows = store.query("SELECT record_id, stage, reason FROM drops ORDER BY record_id")
    assert [tuple(row) for row in rows] == [("b", "data", "also a test prompt"), ("c", "dataset", "has no refinement")]


def test_the_account_of_the_checkpoints_is_replaced(store: Store) -> None:
    store.set_checkpoints({("cgd", 0): {"rows": 5}, ("old", 0): {"rows": 5}})
    store.set_checkpoints({("cgd", 0): {"rows": 6}})
    rows = store.query("SELECT arm, seed, info FROM checkpoints")
    assert [tuple(row) for row in rows] == [("cgd", 0, '{"rows": 6}')]


# Views


def test_a_record_is_a_join_of_its_replies_in_the_order_of_the_recipe(store: Store) -> None:
    """Of three prompts the second has no critique, so no refinement hangs on it: two records."""
    prompts = make_prompts(["1 + 3?", "2 + 2?", "3 + 1?"])
    add_records(store, prompts, [("d0", "c0", "r0"), ("d1", None), ("d2", "c2", "r2")])
    columns = "prompt_id, prompt, draft, critique, refinement, answer"
    rows = [tuple(row) for row in store.query(f"SELECT {columns} FROM records")]
    assert rows == [
        (prompts[index].id, json.dumps(list(prompts[index].messages)), f"d{index}", f"c{index}", f"r{index}", "4")
        for index in (0, 2)
    ]


def test_records_of_an_earlier_recipe_are_out_of_the_view_and_in_the_store(store: Store) -> None:
    add_records(store, make_prompts(["1 + 3?"]), [("d0", "c0", "r0")])
    add_records(store, make_prompts(["2 + 2?"]), [("d1", "c1", "r1")])
    assert [row["refinement"] for row in store.query("SELECT * FROM records")] == ["r1"]
    assert len(store.query("SELECT * FROM replies WHERE stage = 'refinement'")) == 2


def test_a_prediction_is_a_row_whether_it_was_graded_failed_or_is_not_there_yet(store: Store) -> None:
    prompts = make_prompts(["1 + 3?", "2 + 2?", "3 + 1?"])
    add_predictions(store, "sums", "cgd", prompts[:2], [RIGHT, FAILED])
    store.add_prompts(prompts)
    requests = [ask("prediction", Record(prompt), "sums cgd 0") for prompt in prompts]
    keys = [request.key for request in requests]
    store.set_current("prediction", requests, task="sums", arm="cgd")
    rows = store.query("SELECT position, prompt_id, key, gold, state, error_class, strict, reason FROM predictions")
    assert [tuple(row) for row in rows] == [
        (0, prompts[0].id, keys[0], "4", "done", None, 1, "compared as numbers"),
        (1, prompts[1].id, keys[1], "4", "failed", "Timeout", None, None),
        (2, prompts[2].id, keys[2], "4", None, None, None, None),
    ]


# Opening


def test_a_store_that_was_closed_opens_with_all_it_held(tmp_path: Path) -> None:
    first = Store(tmp_path / "run.sqlite")
    (request,) = draft_requests(first)
    answer(first, request, "2")
    first.close()
    second = Store(tmp_path / "run.sqlite")
    assert second.replies([request.key])[request.key].text == "2"
    second.close()


def test_commits_wait_for_the_disk(store: Store) -> None:
    """Journal mode WAL; synchronous 2 = FULL: a commit returns only once it would survive a loss of power."""
    assert store.query("PRAGMA journal_mode")[0][0] == "wal"
    assert store.query("PRAGMA synchronous")[0][0] == 2


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    path.write_text("not a database, but long enough to have a header " * 20)
    with pytest.raises(UserError, match=r"can't open the run store .*run\.sqlite: file is not a database"):
        Store(path)
    assert path.read_text().startswith("not a database")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"can't open the run store .*none/run\.sqlite"):
        Store(tmp_path / "none" / "run.sqlite")


def test_a_store_whose_views_are_older_gets_the_present_ones_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with closing(Store(path)) as store:
        store.add_prompts(make_prompts(["one"]))
    with closing(sqlite3.connect(path)) as database:
        database.executescript("DROP VIEW predictions; CREATE VIEW predictions AS SELECT 1; PRAGMA user_version = 2;")
    with closing(Store(path)) as store:
        assert store.query("SELECT sample, known_issue FROM predictions") == []
        assert len(store.query("SELECT * FROM prompts")) == 1


def test_a_store_of_another_version_is_refused_with_both_versions(tmp_path: Path) -> None:
    Store(tmp_path / "run.sqlite").close()
    database = sqlite3.connect(tmp_path / "run.sqlite")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(UserError, match="has store version 99, this cgd reads version 4"):
        Store(tmp_path / "run.sqlite")


@pytest.mark.usefixtures("impatient")
def test_a_database_that_another_process_locks_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match="database is locked.*another process"):
        Store(path)
    other.close()


@pytest.mark.usefixtures("impatient")
def test_a_lock_that_comes_later_is_a_clear_error_too(tmp_path: Path) -> None:
    """Somebody looks at the store with another tool and leaves a transaction open."""
    store = Store(tmp_path / "run.sqlite")
    other = sqlite3.connect(tmp_path / "run.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UserError, match=r"run\.sqlite.*database is locked"):
        store.add_prompts(make_prompts(["1 + 1?"]))
    other.close()
    store.add_prompts(make_prompts(["1 + 1?"]))
    store.close()


def test_a_full_disk_is_a_clear_error_and_what_was_committed_stays(tmp_path: Path) -> None:
    """SQLite's own page limit stands for the disk's; the group that does not fit is not half there."""
    store = Store(tmp_path / "run.sqlite")
    requests = draft_requests(store, 400)

    def write(asked: list[Request]) -> None:
        done: State = "done"
        replies = [(request, Reply(request.key, "4", "stop"), done, "4") for request in asked]
        store.add_replies(replies, backend="{}", parser="plain/1")

    write(requests[:100])
    pages = store.query("PRAGMA page_count")[0][0]
    store.query(f"PRAGMA max_page_count = {pages + 5}")
    with pytest.raises(UserError, match=r"can't write to the run store .*full.*the same command continues"):
        write(requests[100:])
    assert store.query("SELECT COUNT(*) FROM replies")[0][0] == 100
    store.query("PRAGMA max_page_count = 1000000")
    write(requests[100:])
    assert store.query("SELECT COUNT(*) FROM replies")[0][0] == 400
    store.close()


def test_a_mistake_in_a_statement_is_a_bug_and_not_the_users(store: Store) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"), store.transaction() as db:
        db.execute("INSERT INTO nowhere VALUES (1)")


# Durability


def test_a_transaction_that_breaks_leaves_nothing(store: Store) -> None:
    def write_and_break() -> None:
        with store.transaction() as db:
            db.execute("INSERT INTO drops VALUES ('a', 'data', 'because')")
            assert store.query("SELECT count(*) FROM drops")[0][0] == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_break()
    assert store.query("SELECT count(*) FROM drops")[0][0] == 0
    with store.transaction() as db:
        db.execute("INSERT INTO drops VALUES ('b', 'data', 'because')")
    assert store.query("SELECT record_id FROM drops")[0][0] == "b"


def test_a_hundred_groups_written_at_the_same_time_are_all_there_once(store: Store) -> None:
    """Four threads, each with a connection of its own, write all 100 groups of 5 between them, 50 of them twice."""
    requests = draft_requests(store, 500)
    groups = [requests[start : start + 5] for start in range(0, 500, 5)]
    work = groups + groups[:50]
    random.Random(0).shuffle(work)
    errors: list[BaseException] = []

    def write(mine: list[list[Request]], name: str) -> None:
        try:
            own = Store(store.path)
            for group in mine:
                own.add_replies(
                    [(request, Reply(request.key, name), "done", name) for request in group],
                    backend="{}",
                    parser="plain/1",
                )
            own.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(work[index::4], f"writer {index}")) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    replies = store.replies([request.key for request in requests])
    assert len(replies) == 500
    assert all(len({replies[request.key].text for request in group}) == 1 for group in groups)
    assert {row["attempts"] for row in store.query("SELECT attempts FROM replies")} == {1}


WRITER = """
import sys
from pathlib import Path

from cgd.records import Record, Reply
from cgd.store import Store
from tests.builders import ask, make_prompts

store = Store(Path(sys.argv[1]))
prompts = make_prompts([f"{index} + 1?" for index in range(20_000)])
store.add_prompts(prompts)
for start in range(0, len(prompts), 5):
    group = [ask("draft", Record(prompt), "m") for prompt in prompts[start : start + 5]]
    rows = [(request, Reply(request.key, "2", "stop"), "done", "2") for request in group]
    store.add_replies(rows, backend="{}", parser="plain/1")
    print("\\n".join(request.key for request in group), flush=True)
"""


@pytest.mark.parametrize("least", [5, 200])
def test_a_kill_9_loses_no_reply_that_was_committed(tmp_path: Path, least: int) -> None:
    """The writer prints a key only once its group is committed; it is killed in the midst of its work."""
    path = tmp_path / "run.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    printed = [writer.stdout.readline().strip() for _ in range(least)]
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.stdout.read()
    printed += rest[: rest.rfind("\n") + 1].split()
    writer.stdout.close()
    assert writer.wait() == -signal.SIGKILL

    store = Store(path)
    assert least <= len(printed) < 20_000
    assert set(store.replies(printed)) == set(printed)
    (count,) = store.query("SELECT count(*) FROM replies WHERE state = 'done' AND text = '2'")[0]
    assert count >= len(printed)
    assert count % 5 == 0, "half a group was kept"
    assert store.query("PRAGMA integrity_check")[0][0] == "ok"
    store.close()
