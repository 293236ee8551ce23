"""Run with: pytest tests/backends/test_ray_pool.py. A real Ray cluster on this machine, with two workers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cgd.backends import ray_pool
from cgd.backends.ray_pool import RayPool
from cgd.errors import UserError
from cgd.plugins import Backend, build_backend
from cgd.records import Reply, Request
from cgd.sampling import sample
from cgd.store import Store
from tests.backends.fragile import COMPLAINT, POISON
from tests.backends.pools import asked_of, fragile_pool, make_requests, pool_of, replies_of, wait_for_the_end_of
from tests.tiny import save_student


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A cluster that is no pool's own: its address. Pools of this process join it as it is."""
    import ray

    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("OMP_NUM_THREADS", "1")
    ray.init("local", num_cpus=2, object_store_memory=2**27, include_dashboard=False, log_to_driver=False)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()
    patch.undo()


# What needs no cluster


def test_faults_in_its_own_options_and_in_those_of_the_copied_backend_show_when_it_is_built(student: Path) -> None:
    assert isinstance(pool_of(model=str(student)), Backend)
    with pytest.raises(UserError, match="did you mean 'batch_size'"):
        pool_of(model=str(student), options={"batchsize": 2})
    with pytest.raises(UserError, match="no plug-in 'hg' in backends"):
        pool_of(backend="hg", model=str(student))
    with pytest.raises(UserError, match="workers: Input should be greater than or equal to 1"):
        pool_of(model=str(student), workers=0)
    with pytest.raises(UserError, match="address: String should match"):
        pool_of(model=str(student), address="ray://head:10001")


def test_its_keys_are_those_of_the_backend_without_it(student: Path) -> None:
    alone = build_backend("hf", {"model": str(student)})
    assert pool_of(model=str(student), workers=7, chunk=3).identity == alone.identity
    assert pool_of(model=str(student), options={"dtype": "bfloat16"}).identity != alone.identity


def test_a_prompt_that_the_copied_backend_cannot_serve_is_refused(tmp_path: Path) -> None:
    pool = pool_of(model=str(save_student(tmp_path / "short", context=32)))
    with pytest.raises(UserError, match="don't fit into the model's context of 32 tokens"):
        pool.check(make_requests(["many words " * 20]))


def test_where_ray_is_missing_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"needs the package ray: pip install 'cgd\[ray\]'"):
        fragile_pool().check(make_requests(["a"]))


def test_a_cluster_without_room_for_a_worker_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Nodes of 8 cores and 2 GPUs, of 3 cores, and a dead one.

    2 cores a worker: 4 + 1 = 5 workers. 2 cores and half a GPU: min(4, 4) + 0 = 4. 4 GPUs: none.
    """
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
        {"Alive": True, "Resources": {"CPU": 3.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]

    def note(**options: Any) -> str:
        ray_pool._check_room(nodes, ray_pool.Options(**options))
        return capsys.readouterr().err

    assert note(workers=5, cpus=2) == ""
    assert "room for 5 of 6 workers with 2 CPU cores and 0 GPUs" in note(workers=6, cpus=2)
    assert note(workers=4, cpus=2, gpus=0.5) == ""
    assert "room for 4 of 5 workers" in note(workers=5, cpus=2, gpus=0.5)
    with pytest.raises(UserError, match="no node .* with 1 CPU cores and 4 GPUs; lower cpus or gpus"):
        note(workers=1, gpus=4)


# On a cluster that runs already


def test_every_request_gets_its_reply_from_one_of_the_workers(cluster: str) -> None:
    """Stage after stage with the same two workers, once both are up: of 20 rows each makes some chunks of 3."""
    pool = fragile_pool(chunk=3, pause_s=0.05)
    servers = Counter[str]()
    deadline = time.monotonic() + 120
    while len(servers) < 2 or min(servers.values()) < 3:
        assert time.monotonic() < deadline, f"one worker makes everything: {servers}"
        asked = make_requests([f"t{number}" for number in range(20)])
        replies = replies_of(pool, asked)
        assert sorted(reply.key for reply in replies) == sorted(request.key for request in asked)
        texts = {request.key: f"echo of {request.messages[-1]['content']}" for request in asked}
        assert {reply.key: reply.text for reply in replies} == texts
        servers = Counter(reply.server for reply in replies)
    assert len(servers) == 2
    pool.close()


def test_replies_come_one_by_one_and_not_by_the_chunk(cluster: str) -> None:
    async def arrivals(pool: Backend, asked: Sequence[Request]) -> list[float]:
        return [time.monotonic() async for _ in pool.generate(asked)]

    pool = fragile_pool(workers=1, pause_s=0.1)
    times = asyncio.run(arrivals(pool, make_requests([f"t{number}" for number in range(10)])))
    assert times[-1] - times[0] > 0.8
    pool.close()


def test_a_request_that_kills_its_workers_fails_alone(cluster: str, store: Store, tmp_path: Path) -> None:
    """30 rows for 2 workers: the poison is in a chunk of 15, then in one of 2 (15 / 8, rounded up), then alone."""
    deaths = tmp_path / "deaths"
    pool = fragile_pool(deaths=str(deaths))
    texts = [f"t{number}" for number in range(29)]
    texts.insert(3, POISON)
    sample(store, pool, asked_of(store, texts), title="draft", max_failed_share=0.1)
    assert deaths.read_text() == "xxx"
    rows = store.query("SELECT state, error_class, error, attempts FROM replies ORDER BY state")
    assert [row["state"] for row in rows] == ["done"] * 29 + ["failed"]
    assert rows[-1]["error_class"] == "WorkerDied" and rows[-1]["error"].startswith("3 workers died with this request")
    assert {row["attempts"] for row in rows} == {1}
    pool.close()


def test_what_the_copied_backend_raises_comes_through(cluster: str) -> None:
    pool = fragile_pool()
    with pytest.raises(UserError, match="^fragile: it complains$"):
        replies_of(pool, make_requests(["a", COMPLAINT, "b"]))
    assert len(replies_of(pool, make_requests(["a", "b"]))) == 2, "the pool still serves"
    pool.close()


def test_it_says_so_where_no_worker_starts(cluster: str) -> None:
    with pytest.raises(UserError, match="no worker of backend 'ray_pool' starts: .*died"):
        replies_of(fragile_pool(workers=1, starts=False), make_requests(["a"]))


def test_stopping_ends_it_after_what_is_in_flight(cluster: str) -> None:
    """2 workers, 4 chunks of 8, stopped at the third reply: each worker ends its own row, the rest is not begun."""
    pool = fragile_pool(chunk=8, pause_s=0.2)
    asked = make_requests([f"t{number}" for number in range(32)])

    async def first_replies() -> list[Reply]:
        replies = []
        async for reply in pool.generate(asked):
            replies.append(reply)
            if len(replies) == 3:
                pool.stop()
        return replies

    replies = asyncio.run(first_replies())
    assert 3 <= len(replies) <= 6
    assert all(reply.text for reply in replies)
    left = [request for request in asked if request.key not in {reply.key for reply in replies}]
    assert len(replies_of(pool, left[:4])) == 4, "the next round begins as usual"
    pool.close()


def test_leaving_it_ends_the_workers_that_are_busy(cluster: str) -> None:
    pool = fragile_pool(pause_s=0.2)
    assert isinstance(pool, RayPool)

    async def one_reply() -> Reply:
        replies = pool.generate(make_requests([f"t{number}" for number in range(100)]))
        reply = await anext(replies)
        await replies.aclose()  # type: ignore[attr-defined]
        return reply

    wait_for_the_end_of([asyncio.run(one_reply()).server])
    assert pool._workers == [None, None]
    pool.close()


def test_a_running_cluster_is_joined_by_its_address_and_left_running(cluster: str) -> None:
    import ray

    script = "import sys; from tests.backends.pools import join; join(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", script, cluster], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "['echo of a', 'echo of b']\n", "")
    assert [node["Alive"] for node in ray.nodes()] == [True]
