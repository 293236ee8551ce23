"""Runs against a server that misbehaves: every request must end as a row, and a mended server fills what failed."""

from __future__ import annotations

import json
import tempfile
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.faulty_server import TIMEOUT_S
from benchmarks.generation_run import STAGES, Stored, run, stored, write_recipe
from benchmarks.servers import server


class Account(NamedTuple):
    """What a fault did.

    `injected`: how often. `unaccounted`: requests of the recipe, or that came to the server, without a row.
    `left`: rows that are still failed once the server is mended and the same command was given again.
    """

    injected: int
    unaccounted: int
    left: int


def inject_and_count(fault: str, prompts: int, folder: Path) -> Account:
    """One run against the faulty server, and the same command again once it is mended."""
    with server("benchmarks.faulty_server", fault) as url, tempfile.TemporaryDirectory(dir=folder) as scratch:
        recipe = write_recipe(Path(scratch), url, prompts, timeout_s=TIMEOUT_S, tries=2)
        runs = Path(scratch) / "runs"
        ended = run(recipe, runs)
        first, account = stored(runs), get_json(f"{url}/account")
        unaccounted = without_row(first, account["asked"])
        states = dict(Counter(row.state for row in first.rows.values()))
        if ended.exit_code:  # a crash: whatever was not asked because of it has no row either
            print(ended.output)
            unaccounted = max(unaccounted, 3 * prompts - len(first.rows))
        urllib.request.urlopen(urllib.request.Request(f"{url}/mend", method="POST")).close()
        again = run(recipe, runs)
        mended = stored(runs)
    left = sum(key not in mended.committed for keys in mended.current.values() for key in keys)
    assert again.exit_code == 0 and mended.current.keys() == set(STAGES), again.output
    print(f"{fault:<34} {ended.seconds:5.1f} s  injected {account['injected']:>3}  {states}  left {left}", flush=True)
    return Account(account["injected"], unaccounted, left)


def without_row(found: Stored, asked: list[str]) -> int:
    """Requests of the recipe, or that came to the server, that ended as no row."""
    of_recipe = sum(key not in found.rows for keys in found.current.values() for key in keys)
    return of_recipe + len(set(asked) - set(found.names.values()))


def get_json(url: str) -> Any:
    """The answer to a GET."""
    with urllib.request.urlopen(url) as response:
        return json.load(response)
