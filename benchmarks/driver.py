"""What durable rows cost: cgd's sampling loop against a bare asyncio and aiohttp loop that keeps nothing.

Both send the same requests with the same concurrency, in alternated pairs; making the requests is outside the timing.
cgd commits every reply to a store on disk. The stub server takes 20 ms for a reply; the real one is llama.cpp.

stub_ratio            median over pairs of rows/s of cgd / rows/s of the bare loop, at the stub server
real_server_ratio     the same at the real server
over_distilabel       rows/s of cgd at the stub / rows/s of distilabel there, as many rows in batches as large as the
                      concurrency; the clocks run from the call that generates, sample() and Pipeline.run(), to its end
over_distilabel_busy  the same with distilabel's clock from its first request to its last answer: without its start
"""

from __future__ import annotations

import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from benchmarks.asking import make_requests
from benchmarks.output import parser, scratch_folder, show
from benchmarks.servers import server
from cgd.plugins import build_backend
from cgd.records import Request
from cgd.sampling import sample
from cgd.store import Store

STUB_DELAY_S, STUB_SLOTS = 0.02, 256
DISTILABEL = ("distilabel[openai]==1.5.3", "requests")
MODEL = "any"  # both servers have one model and take every name


class Pairs(NamedTuple):
    """Rows/s of both contenders, and the median of their ratios."""

    ours: float
    bare: float
    ratio: float


def main() -> None:
    """Measure at the stub, with distilabel there, and at the real server."""
    options = parser(__doc__)
    options.add_argument("--pairs", type=int, default=7)
    options.add_argument("--stub-rows", type=int, default=5000, help="of each half of a pair")
    options.add_argument("--real-rows", type=int, default=96, help="of each half of a pair; 0 leaves it out")
    options.add_argument("--no-distilabel", action="store_true", help="leave it out; it is installed on first use")
    options.add_argument("--concurrency", type=int, default=128, help="requests in flight at the stub")
    options.add_argument("--slots", type=int, default=16, help="of the real server, and requests in flight there")
    arguments = options.parse_args()
    figures: dict[str, Any] = {"pairs": arguments.pairs, "concurrency": arguments.concurrency}
    with server("benchmarks.stub_server", str(STUB_DELAY_S), str(STUB_SLOTS)) as url:
        stub = alternate(url, arguments.pairs, arguments.stub_rows, arguments.concurrency, stub_requests)
    figures |= {"stub_rows_per_s": stub.ours, "stub_bare_rows_per_s": stub.bare, "stub_ratio": stub.ratio}
    if not arguments.no_distilabel:
        whole, busy = distilabel_rates(arguments.stub_rows, arguments.concurrency)
        figures |= {"distilabel_rows_per_s": whole, "over_distilabel": stub.ours / whole}
        figures |= {"distilabel_busy_rows_per_s": busy, "over_distilabel_busy": stub.ours / busy}
    if arguments.real_rows:
        from tests.llama_server import llama_server

        with llama_server(arguments.slots) as url:
            real = alternate(url, arguments.pairs, arguments.real_rows, arguments.slots, real_requests)
        figures |= {"real_rows_per_s": real.ours, "real_bare_rows_per_s": real.bare, "real_server_ratio": real.ratio}
    show(figures, as_json=arguments.json)


def stub_requests(rows: int) -> list[Request]:
    """Short questions."""
    return make_requests([f"What is {row} + 1?" for row in range(rows)], {"model": MODEL})


def real_requests(rows: int) -> list[Request]:
    """Questions of equal length that the server has not seen, so that no half finds its prompts in a cache."""
    numbers = random.sample(range(100_000, 1_000_000), rows)
    return make_requests([f"Write a story about the number {n}." for n in numbers], {"model": MODEL}, max_tokens=16)


def alternate(url: str, pairs: int, rows: int, concurrency: int, make: Callable[[int], Sequence[Request]]) -> Pairs:
    """Both contenders in turn, after a short warm-up of the server; every other pair begins with the other one."""
    bare_rate(url, make(concurrency), concurrency)
    contenders = {"ours": our_rate, "bare": bare_rate}
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for pair in range(pairs):
        for name in list(contenders)[:: -1 if pair % 2 else 1]:
            rates[name].append(contenders[name](url, make(rows), concurrency))
        print(f"{url}  cgd {rates['ours'][-1]:,.1f} rows/s, bare {rates['bare'][-1]:,.1f} rows/s", flush=True)
    ratio = statistics.median(ours / bare for ours, bare in zip(*rates.values(), strict=True))
    return Pairs(statistics.median(rates["ours"]), statistics.median(rates["bare"]), ratio)


def our_rate(url: str, requests: Sequence[Request], concurrency: int) -> float:
    """Rows/s of the sampling loop, every reply committed."""
    backend = build_backend("openai_api", {"model": MODEL, "base_url": url, "concurrency": concurrency})
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        store = Store(Path(folder) / "run.sqlite")
        store.add_prompts(request.record.prompt for request in requests)
        started = time.perf_counter()
        sampled = sample(store, backend, requests, title="driver", max_failed_share=0)
        seconds = time.perf_counter() - started
        store.close()
    assert all(reply.text for reply in sampled.replies.values())
    return len(requests) / seconds


def bare_rate(url: str, requests: Sequence[Request], concurrency: int) -> float:
    """Rows/s of a loop that sends the same bodies and forgets the replies."""
    bodies = [
        {
            "model": MODEL,
            "messages": list(request.messages),
            "max_tokens": request.sampling.max_tokens,
            "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p,
            "seed": request.seed,
        }
        for request in requests
    ]
    started = time.perf_counter()
    asyncio.run(ask_and_forget(f"{url}/chat/completions", bodies, concurrency))
    return len(requests) / (time.perf_counter() - started)


async def ask_and_forget(url: str, bodies: Sequence[dict[str, Any]], concurrency: int) -> None:
    """Every body once, `concurrency` at a time."""
    waiting = iter(bodies)

    async def work(session: aiohttp.ClientSession) -> None:
        for body in waiting:
            async with session.post(url, json=body) as response:
                response.raise_for_status()
                await response.json()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(work(session) for _ in range(concurrency)))


def distilabel_rates(rows: int, concurrency: int) -> tuple[float, float]:
    """Rows/s of distilabel over its whole `Pipeline.run()`, and from its first request to the last answer."""
    with (
        server("benchmarks.stub_server", str(STUB_DELAY_S), str(STUB_SLOTS)) as url,
        tempfile.TemporaryDirectory(dir=scratch_folder()) as folder,
    ):
        # -P: the folder of the script, whose modules are not meant for that environment, stays off its path.
        script = [str(distilabel_python()), "-P", str(Path(__file__).with_name("distilabel_rows.py"))]
        command = [*script, url, str(rows), str(concurrency), folder]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        span = asyncio.run(get_json(f"{url}/span"))
    assert span["answered"] >= rows
    return rows / float(done.stdout.splitlines()[-1]), rows / float(span["seconds"])


def distilabel_python() -> Path:
    """The Python of an environment with distilabel, made on first use."""
    folder = scratch_folder() / "distilabel"
    if not (folder / "complete").exists():
        print(f"installing {DISTILABEL[0]} into {folder} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", *DISTILABEL], check=True)
        (folder / "complete").touch()
    return folder / "bin" / "python"


async def get_json(url: str) -> Any:
    """The answer to a GET."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.json()


if __name__ == "__main__":
    main()
