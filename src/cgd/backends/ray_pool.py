"""Copies of another backend on a Ray cluster (package `ray`): this machine's own, or one that runs already.

Replies come to this process one by one, whichever copy made them, and their keys are those of the copied backend:
rows that were made without the pool are not made again with it, nor the other way round.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from cgd.config import PositiveInt, Section
from cgd.errors import UserError
from cgd.extras import require_packages
from cgd.plugins import Backend, build_backend
from cgd.records import Reply, Request

_TRIES = 3  # workers that a request may cost, and starts that a worker is granted
_SPLIT = 8  # parts of what a dead worker left over


class Options(Section):
    """Keys of `backend = "ray_pool"`."""

    backend: str = "hf"
    """Backend that every worker runs a copy of: `hf`, `vllm`, `llamacpp`, or the dotted name of your own module."""
    model: str | None = None
    """Model of that backend, found by each worker on its own node; taken from the section's `model`."""
    options: dict[str, Any] = {}
    """That backend's own keys."""
    workers: PositiveInt
    """Copies, each a process of its own."""
    cpus: PositiveInt = 1
    """CPU cores of each worker, and its threads where OMP_NUM_THREADS does not say otherwise."""
    gpus: float = Field(0, ge=0)
    """GPUs of each worker, hidden from the others; a fraction shares one among several."""
    address: str | None = Field(None, pattern=r"^(auto|[^/\s]+:\d+)$")
    """`auto`, or `host:port` of a cluster that has this machine as a node; where absent, one is started for the run."""
    chunk: PositiveInt = 64
    """Requests that a worker is handed at a time: two batches or more of its backend keep it busy."""

    @property
    def plugin_options(self) -> dict[str, Any]:
        """The options as the copied backend takes them, the model among them."""
        return self.options if self.model is None else {"model": self.model, **self.options}


def build(options: Options) -> RayPool:
    """The pool; Ray and the workers start on the first request. UserError where the copied backend's keys are wrong."""
    return RayPool(options, build_backend(options.backend, options.plugin_options))


class _Chunk(NamedTuple):
    """Requests for one worker, and how many workers died with them before."""

    requests: Sequence[Request]
    deaths: int = 0


class _Work:
    """One `generate`: chunks that wait, workers that are busy, and what the consumer gets."""

    def __init__(self, requests: Sequence[Request], size: int) -> None:
        self.chunks: asyncio.Queue[_Chunk] = asyncio.Queue()
        self.busy: set[Any] = set()
        self.events: asyncio.Queue[Reply | Exception | None] = asyncio.Queue()  # None: look whether it is over
        self.not_starting = 0
        self._stopped = False
        self._put(requests, size, deaths=0)

    def over(self) -> bool:
        """Nothing waits, nothing is in flight, and the consumer has everything."""
        return self.chunks.empty() and not self.busy and self.events.empty()

    def stop(self) -> None:
        """Let no chunk that waits, or comes back, be handed out."""
        self._stopped = True
        while not self.chunks.empty():
            self.chunks.get_nowait()
        self.events.put_nowait(None)

    def take_back(self, left: Sequence[Request], deaths: int, reason: str) -> None:
        """Queue what a dead worker left over, in smaller chunks each time: the one that kills is soon alone."""
        if deaths < _TRIES:
            self._put(left, math.ceil(len(left) / _SPLIT) if deaths < _TRIES - 1 else 1, deaths)
        for request in left if deaths == _TRIES else ():
            error = f"{deaths} workers died with this request, the last one with no other: {reason}"
            self.events.put_nowait(Reply(request.key, error_class="WorkerDied", error=error))

    def _put(self, requests: Sequence[Request], size: int, deaths: int) -> None:
        if not self._stopped:
            for start in range(0, len(requests), size or 1):
                self.chunks.put_nowait(_Chunk(requests[start : start + size], deaths))


class RayPool:
    """One stream of replies from many workers; what a worker that died had not answered goes to the others."""

    def __init__(self, options: Options, inner: Backend) -> None:
        """Remember the options; start nothing. `inner` answers here for its copies, and loads no weights."""
        self._options, self._inner = options, inner
        self._workers: list[Any] = [None] * options.workers
        self._work: _Work | None = None
        self._connected = False

    @property
    def identity(self) -> Mapping[str, Any]:
        """That of the copied backend: where a text was made does not change it."""
        return self._inner.identity

    def check(self, requests: Sequence[Request]) -> None:
        """Raise UserError where the copied backend can't serve a request, or the package is missing."""
        require_packages("ray", "backend 'ray_pool'", "ray")
        self._inner.check(requests)

    async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
        """Yield replies as workers make them; leaving ends the workers that are busy.

        Raises:
            UserError: the cluster can't be reached, has no room for a worker, or no worker starts on it.
            Exception: what the copied backend raised on a worker.
        """
        self._connect()
        size = min(self._options.chunk, math.ceil(len(requests) / self._options.workers))
        work = self._work = _Work(requests, size)
        places = [asyncio.create_task(self._serve(place, work)) for place in range(self._options.workers)]
        try:
            while not work.over():
                event = await work.events.get()
                if isinstance(event, Reply):
                    yield event
                elif event is not None:
                    raise event
        finally:
            for task in places:
                task.cancel()
            await asyncio.gather(*places, return_exceptions=True)

    def stop(self) -> None:
        """Hand out nothing more, and begin nothing new on any worker."""
        if self._work is not None:
            self._work.stop()
            for worker in self._work.busy:
                worker.stop.remote()

    def close(self) -> None:
        """End the workers, and the cluster where it was started here."""
        if self._connected or any(self._workers):
            import ray

            for worker in filter(None, self._workers):
                ray.kill(worker)
            self._workers = [None] * self._options.workers
            if self._connected:
                ray.shutdown()
            self._connected = False

    async def _serve(self, place: int, work: _Work) -> None:
        """Keep one worker busy until cancelled; where it dies, start another in its place."""
        try:
            while worker := self._workers[place] or await self._start(work):
                self._workers[place] = worker
                await self._hand_over(place, await work.chunks.get(), work)
        except Exception as error:  # whatever it is, the consumer raises it
            work.events.put_nowait(error)

    async def _hand_over(self, place: int, chunk: _Chunk, work: _Work) -> None:
        """Stream a chunk's replies; the worker keeps its place only where the chunk comes to its end."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        worker, self._workers[place] = self._workers[place], None
        left = {request.key: request for request in chunk.requests}
        work.busy.add(worker)
        try:
            async for reference in worker.generate.options(num_returns="streaming").remote(chunk.requests):
                reply: Reply = await reference
                if left.pop(reply.key, None) is not None:
                    work.events.put_nowait(reply)
            self._workers[place] = worker
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:  # its process or node is gone, or what it sent is lost
            work.take_back(list(left.values()), chunk.deaths + 1, _reason(error))
        finally:
            if self._workers[place] is None:
                ray.kill(worker)
            work.busy.discard(worker)
            work.events.put_nowait(None)

    async def _start(self, work: _Work) -> Any:
        """A worker that answers, as soon as the cluster has room; None where it can't start but others may."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        remote = ray.remote(num_cpus=self._options.cpus, num_gpus=self._options.gpus)(_Worker)
        reason = ""
        for _ in range(_TRIES):
            worker = remote.remote(*self._plugin_on_workers())
            try:
                await worker.start.remote()
                return worker
            except RayTaskError as error:
                raise error.cause from error
            except RayError as error:
                reason = _reason(error)
        work.not_starting += 1
        if work.not_starting == self._options.workers:
            needs = "Every node needs cgd with the copied backend's packages, and the same Ray and Python as here"
            raise UserError(f"no worker of backend 'ray_pool' starts: {reason}\n{needs}")
        return None

    def _plugin_on_workers(self) -> tuple[str, dict[str, Any], list[str]]:
        """Name, options and import path; a local folder by its whole path, which a shared disk has on every node."""
        options = self._options.plugin_options
        folder = Path(str(options.get("model"))).expanduser()
        if folder.exists():
            options = options | {"model": str(folder.absolute())}
        return self._options.backend, options, sys.path if self._options.address is None else []

    def _connect(self) -> None:
        """Start a cluster, or join one, unless this process is in one already."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import ray

        if ray.is_initialized():
            return
        logging.getLogger("ray").setLevel(logging.ERROR)
        quiet = {"log_to_driver": False, "configure_logging": False}
        own = {"num_cpus": self._options.workers * self._options.cpus, "object_store_memory": 2**27}
        handler = signal.getsignal(signal.SIGTERM)
        try:
            if self._options.address is None:
                ray.init("local", include_dashboard=False, **own, **quiet)
            else:
                if self._options.address != "auto":
                    host, _, port = self._options.address.rpartition(":")
                    socket.create_connection((host, int(port)), 10).close()  # Ray itself would try for minutes
                ray.init(self._options.address, **quiet)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(f"no Ray cluster at {self._options.address or 'this machine'}: {error}") from error
        finally:
            if signal.getsignal(signal.SIGTERM) is not handler:
                signal.signal(signal.SIGTERM, handler)  # Ray's own would end the run in the middle of a reply
        self._connected = True
        _check_room(ray.nodes(), self._options)


class _Worker:
    """A copy of the backend in a process of the cluster."""

    def __init__(self, backend: str, options: Mapping[str, Any], import_path: Sequence[str]) -> None:
        sys.path.extend(entry for entry in import_path if entry not in sys.path)
        self._plugin = backend, options
        self._server = f"ray://{socket.gethostname()}:{os.getpid()}"

    async def start(self) -> None:
        self._backend = build_backend(*self._plugin)

    async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
        async for reply in self._backend.generate(requests):
            yield replace(reply, server=reply.server or self._server)

    async def stop(self) -> None:
        self._backend.stop()


def _check_room(nodes: Iterable[Mapping[str, Any]], options: Options) -> None:
    """Refuse a cluster on which no worker fits, and say where not all do.

    Raises:
        UserError: no node has the cores and GPUs of one worker.
    """
    room = 0
    for node in nodes:
        has = node["Resources"] if node["Alive"] else {}
        cores = has.get("CPU", 0) // options.cpus
        room += int(min(cores, has.get("GPU", 0) // options.gpus) if options.gpus else cores)
    each = f"{options.cpus} CPU cores and {options.gpus:g} GPUs"
    if room == 0:
        raise UserError(f"no node of the Ray cluster has room for a worker with {each}; lower cpus or gpus")
    if room < options.workers:
        print(f"the Ray cluster has room for {room} of {options.workers} workers with {each}", file=sys.stderr)


def _reason(error: Exception) -> str:
    """The last line of Ray's long account of a death."""
    return str(error).strip().rpartition("\n")[2][:200]
