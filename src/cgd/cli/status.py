"""The command that says where a run stands."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from cgd.cli.shared import AsJson, RunPath, app, open_store, rows_table, terminal
from cgd.errors import UserError

if TYPE_CHECKING:
    from cgd.status import Status
    from cgd.store import Store

_LOOK_EVERY_S = 1.0


@app.command()
def status(
    folder: RunPath,
    watch: Annotated[bool, typer.Option("--watch", help="Keep the tables up to date until the run ends.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="List the failed rows with their errors.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show where a run stands, running or finished: rows of the stages, steps of the trainings, work of the servers.

    Example: cgd status runs/quickstart --watch
    """
    from cgd.status import failed_rows, read_status

    if watch and (failed or as_json):
        raise UserError("--watch goes with neither --failed nor --json; give it alone")
    with open_store(folder) as store:
        if watch:
            _watch(folder, store)
        elif failed:
            rows = failed_rows(store)
            if as_json:
                typer.echo(json.dumps({"failed": [row._asdict() for row in rows]}, ensure_ascii=False))
            else:
                terminal().print(rows_table(rows) if rows else "no failed rows")
        elif as_json:
            typer.echo(json.dumps(read_status(folder, store).as_json(), ensure_ascii=False))
        else:
            terminal().print(_tables(read_status(folder, store)))


def _watch(folder: Path, store: Store) -> None:
    """Where there is no terminal, the tables are printed once, when the run has ended."""
    from cgd.status import read_status

    found = read_status(folder, store)
    with Live(_tables(found), console=terminal(), auto_refresh=False) as live, suppress(KeyboardInterrupt):
        while found.state == "running":
            time.sleep(_LOOK_EVERY_S)
            found = read_status(folder, store)
            live.update(_tables(found), refresh=True)


def _tables(found: Status) -> Group:
    goes_on = "; the same cgd run goes on" if found.state == "stopped" else ""
    title = Text(f"{found.name}: {found.state}{goes_on}", style="bold")
    tables = [rows_table(rows) for rows in (found.stages, found.training, found.servers) if rows]
    return Group(title, *(part for table in tables for part in (Text(), table)))
