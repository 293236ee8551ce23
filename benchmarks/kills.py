"""SIGKILL at random moments of generating, and what became of the rows."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.generation_run import STAGES, Row, Stored, run, stored, write_recipe
from benchmarks.servers import server

DELAY_S, SLOTS = "0.02", "64"
AT_START = 0.1  # share of the lives that may be killed before their first request, too


class Account(NamedTuple):
    """What the kills did.

    `lost`: committed rows that vanished or changed, and keys, states and texts that differ from an unbroken run.
    `doubled`: requests for rows that were committed before a kill, asked again after it. `unfinished`: requests that
    were in flight at a kill and had to be asked again.
    """

    kills_by_stage: dict[str, int]
    kills_at_start: int
    lost: int
    doubled: int
    unfinished: int


def kill_and_count(kills: int, prompts: int, moments: random.Random, folder: Path) -> Account:
    """Kill a run again and again until it is done, then the next one, until there were enough kills in every stage."""
    log = folder / "asked.txt"
    with server("benchmarks.stub_server", DELAY_S, SLOTS, str(log)) as url:
        recipe = write_recipe(folder, url, prompts)
        log.touch()
        longest = run(recipe, folder / "unbroken", begun=lambda: log.stat().st_size > 0).seconds
        unbroken = stored(folder / "unbroken")
        assert len(unbroken.committed) == 3 * prompts, "the unbroken run is not whole"
        print(f"an unbroken run generates the {len(unbroken.rows)} rows of {prompts} prompts in {longest:.1f} s")
        counts: Counter[str] = Counter()
        total = Account({}, 0, 0, 0, 0)
        for number in itertools.count():
            if counts.total() >= kills and (all(counts[stage] for stage in STAGES) or not kills):
                break
            run_total = kill_until_done(recipe, folder / f"run{number}", unbroken, longest, log, moments)
            counts.update(run_total.kills_by_stage)
            total = Account({}, *(a + b for a, b in zip(total[1:], run_total[1:], strict=True)))
            print(
                f"run {number} is whole; kills so far: {dict(counts)}, at the start {total.kills_at_start}", flush=True
            )
    return total._replace(kills_by_stage={stage: counts[stage] for stage in STAGES})


def kill_until_done(
    recipe: Path, runs: Path, unbroken: Stored, longest: float, log: Path, moments: random.Random
) -> Account:
    """One run, begun again after every kill."""
    counts: Counter[str] = Counter()
    at_start = lost = doubled = 0
    before: Stored = stored(runs)
    first_line = line = len(asked(log))
    ended = None
    while ended is None or ended.exit_code is None:
        size = -1 if moments.random() < AT_START else log.stat().st_size
        begun = partial(has_grown, log, size)
        ended = run(recipe, runs, begun, kill_after_s=moments.uniform(0, longest))
        now, names = stored(runs), asked(log)
        paid = {before.names[key] for key in before.committed}
        doubled += sum(name in paid for name in names[line:])
        lost += differing(before.committed, now.rows)
        if ended.exit_code is None and len(names) == line:
            at_start += 1
        elif ended.exit_code is None:
            counts[now.stage()] += 1
        before, line = now, len(names)
    assert ended.exit_code == 0, f"a run ended with exit code {ended.exit_code}: {ended.output}"
    lost += differing(unbroken.rows, before.rows) + len(before.rows.keys() - unbroken.rows.keys())
    repeated = Counter(asked(log)[first_line:])
    return Account(dict(counts), at_start, lost, doubled, repeated.total() - len(repeated) - doubled)


def differing(wanted: dict[str, Row], found: dict[str, Row]) -> int:
    """Rows that are not there, or not as wanted."""
    return sum(found.get(key) != row for key, row in wanted.items())


def has_grown(log: Path, size: int) -> bool:
    """Whether more requests came than stood in so many bytes."""
    return log.stat().st_size > size


def asked(log: Path) -> list[str]:
    """Names of the requests that came to the server, in order."""
    return log.read_text().split()
