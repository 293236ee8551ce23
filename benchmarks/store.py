"""What keeping every reply costs: durable commits, and coming back to a finished stage.

Rows of 2 kB (messages, raw reply, parsed text) are committed in groups of 128, as a stage does it, into a store on
disk; then the same stage is sampled again, where every row is known.

rows_per_s          rows committed a second, at the largest size, to the closed store
memory_growth_mb    by how much the process grew at its peak while it committed them (MiB)
resume_s            seconds to open that store and sample the finished stage, requests given
resume_growth_mb    by how much the process grew at its peak meanwhile (MiB): the texts go to the next stage
slope               of log time over log rows, the steeper one of committing and resuming; 1 is linear
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from benchmarks.asking import make_requests
from benchmarks.output import parser, scratch_folder, show
from cgd.plugins import build_backend
from cgd.records import Reply, Request
from cgd.sampling import sample
from cgd.store import Store
from cgd.text import PARSERS

SIZES = (1_000, 10_000, 100_000)
GROUP = 128
MESSAGE_BYTES, REPLY_BYTES = 1_000, 500  # the reply stands in a row twice: raw and parsed
SCRIPTED = {"replies": {"draft": "never asked"}}


class Passage(NamedTuple):
    """One size, measured once."""

    commit_s: float
    memory_growth_mb: float
    resume_s: float
    resume_growth_mb: float


def main() -> None:
    """Measure every size several times, each passage in a fresh process."""
    options = parser(__doc__)
    options.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="ROWS")
    options.add_argument("--repeats", type=int, default=3, help="of the largest size; smaller ones get more")
    arguments = options.parse_args()
    sizes = sorted(arguments.sizes)
    medians = {size: median_passage(size, arguments.repeats + 2 * place) for place, size in enumerate(sizes[::-1])}
    slopes = {
        "commit_slope": slope(sizes, [medians[size].commit_s for size in sizes]),
        "resume_slope": slope(sizes, [medians[size].resume_s for size in sizes]),
    }
    largest = medians[sizes[-1]]
    figures = {
        "rows": sizes[-1],
        "rows_per_s": sizes[-1] / largest.commit_s,
        "memory_growth_mb": largest.memory_growth_mb,
        "resume_s": largest.resume_s,
        "resume_growth_mb": largest.resume_growth_mb,
        **slopes,
        "slope": max(slopes.values()),
    }
    show(figures, as_json=arguments.json)


def median_passage(rows: int, repeats: int) -> Passage:
    """Median of each figure."""
    fresh = ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1)
    with fresh:
        passages = list(fresh.map(measure, [rows] * repeats))
    passage = Passage(*(statistics.median(figures) for figures in zip(*passages, strict=True)))
    spread = f"{min(p.commit_s for p in passages):.2f} to {max(p.commit_s for p in passages):.2f}"
    print(f"{rows:>9,} rows: committed in {passage.commit_s:.2f} s ({spread}), resumed in {passage.resume_s:.2f} s")
    return passage


def measure(rows: int) -> Passage:
    """Commit a stage of `rows` into a fresh store, and sample it again."""
    requests = make_requests([f"{row} ".ljust(MESSAGE_BYTES, "x") for row in range(rows)], {"backend": "scripted"})
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        path = Path(folder) / "run.sqlite"
        store = Store(path)
        store.add_prompts(request.record.prompt for request in requests)
        with measured() as commit:
            for start in range(0, rows, GROUP):
                commit_group(store, requests[start : start + GROUP])
            store.close()
        with measured() as resume:
            resume_stage(path, requests)
    return Passage(commit.seconds, commit.growth_mb, resume.seconds, resume.growth_mb)


def commit_group(store: Store, requests: Sequence[Request]) -> None:
    """One durable transaction, as the sampling loop makes it."""
    rows = []
    for request in requests:
        text = request.key.ljust(REPLY_BYTES, "y")
        rows.append((request, Reply(request.key, text, "stop", 250, 125, 1.0, "http://server/v1"), "done", text))
    store.add_replies(rows, backend='{"backend": "scripted"}', parser=PARSERS["draft"])  # type: ignore[arg-type]


def resume_stage(path: Path, requests: Sequence[Request]) -> None:
    """What a finished stage costs the same command given again."""
    store = Store(path)
    sampled = sample(store, build_backend("scripted", SCRIPTED), requests, title="draft", max_failed_share=0)
    store.close()
    assert sampled.made == 0 and len(sampled.replies) == len(requests)


def slope(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Of the straight line through log time over log size."""
    return float(np.polyfit([math.log(size) for size in sizes], [math.log(second) for second in seconds], 1)[0])


@contextmanager
def measured() -> Iterator[SimpleNamespace]:
    """Seconds inside, and by how many MiB the process grew at its peak."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back, so that it can't hide what grows
    os.sync()  # what came before is not written at the cost of what follows
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    result, before, started = SimpleNamespace(), resident_mb("VmRSS"), time.perf_counter()
    yield result
    result.seconds = time.perf_counter() - started
    result.growth_mb = resident_mb("VmHWM") - before


def resident_mb(field: str) -> float:
    """A field of the kernel's account of this process, in MiB."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
