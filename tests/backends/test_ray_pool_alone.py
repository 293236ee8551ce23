"""Run with: pytest tests/backends/test_ray_pool_alone.py. Pools that start a Ray cluster of their own."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cgd.errors import UserError
from cgd.plugins import build_backend
from cgd.sampling import sample
from cgd.store import Store
from tests.backends.pools import asked_of, fragile_pool, make_requests, pool_of, replies_of, wait_for_the_end_of

MODEL = "smollm2-135m-instruct"
QUESTIONS = [f"What is {number} plus {number + 3}?" for number in range(8)]


@pytest.fixture
def real_weights(cache_of_the_user: str | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Options for the real model, its weights in the user's cache; one thread a process, here and in the workers."""
    import torch

    monkeypatch.delenv("CGD_CACHE")
    if cache_of_the_user is not None:
        monkeypatch.setenv("CGD_CACHE", cache_of_the_user)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield {"model": MODEL, "options": {"batch_size": 1}}
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_texts_are_those_of_the_model_alone_though_a_worker_is_killed(
    real_weights: dict[str, Any], store: Store, tmp_path: Path
) -> None:
    """Two chunks of 4 rows for two workers; the one with the first row in the store is killed while it makes others.

    Every row is in the store once, with the text that `hf` gives by itself, and no process is left over.
    """
    alone = build_backend("hf", {"model": MODEL, "batch_size": 1})
    pool = pool_of(**real_weights, chunk=4)
    assert pool.identity == alone.identity
    asked = asked_of(store, QUESTIONS, max_tokens=12)
    killed: list[str] = []
    killer = threading.Thread(target=lambda: killed.append(kill_first_worker(tmp_path / "run.sqlite")))
    killer.start()
    sample(store, pool, asked, title="draft", max_failed_share=0.0)
    killer.join()

    rows = store.query("SELECT key, text, server, attempts, state FROM replies")
    assert {row["key"]: row["text"] for row in rows} == {reply.key: reply.text for reply in replies_of(alone, asked)}
    assert len(rows) == 8 and {row["attempts"] for row in rows} == {1}
    by_server = Counter(row["server"] for row in rows)
    assert 1 <= by_server[killed[0]] < 4, "it was killed in mid-chunk"
    assert len(by_server) >= 2, "both workers took part"
    assert processes_of_ray(os.getpid())
    pool.close()
    wait_for_the_end_of(by_server)
    assert not processes_of_ray(os.getpid())


def processes_of_ray(parent: int) -> str:
    command = ["pgrep", "-f", "-P", str(parent), "raylet|gcs_server"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def kill_first_worker(path: Path) -> str:
    """Kill the process of the worker whose reply is the first in the store; its name."""
    deadline = time.monotonic() + 250
    while time.monotonic() < deadline:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            row = db.execute("SELECT server FROM replies LIMIT 1").fetchone()
        db.close()
        if row:
            os.kill(int(row[0].rpartition(":")[2]), signal.SIGKILL)
            return str(row[0])
        time.sleep(0.02)
    raise TimeoutError("no reply")


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    with pytest.raises(UserError, match="no Ray cluster at 127.0.0.1:9: .*refused"):
        replies_of(fragile_pool(address="127.0.0.1:9"), make_requests(["a"]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_with_what_is_in_flight(number: signal.Signals, tmp_path: Path) -> None:
    """SIGINT to the whole group of processes, as a terminal sends it; SIGTERM to the run, as `kill` does."""
    path = tmp_path / "run.sqlite"
    Store(path).close()
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # ignored in the background
    script = f"{heed}; import sys; from tests.backends.pools import interruptible; interruptible(sys.argv[1])"
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            while process.poll() is None and not db.execute("SELECT COUNT(*) FROM replies").fetchone()[0]:
                time.sleep(0.05)
            send = os.killpg if number == signal.SIGINT else os.kill
            send(process.pid, number)
            said = process.stderr.read()
            states = {state for (state,) in db.execute("SELECT state FROM replies")}
            servers = dict(db.execute("SELECT server, COUNT(*) FROM replies GROUP BY 1"))
        db.close()
    assert "stopping: waiting for what is in flight" in said and said.endswith("KeyboardInterrupt\n")
    assert states == {"done"} and len(servers) <= 2 and sum(servers.values()) < 100
    wait_for_the_end_of(servers)
