"""The command that examines the machine."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cgd.cli.shared import AsJson, app, rows_table, terminal


@app.command()
def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Also ask PyTorch which device it sees; takes seconds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what this machine can run, what is in the way, and how to mend it. Ends with 2 where the basics don't work.

    Example: cgd doctor --deep
    """
    from cgd.doctor import examine, works

    findings = examine(deep=deep)
    fine = works(findings)
    if as_json:
        typer.echo(json.dumps({"ok": fine, "findings": [finding._asdict() for finding in findings]}))
    else:
        terminal().print(rows_table(findings))
        typer.echo("the basics work" if fine else "the basics don't work: mend each problem")
    raise typer.Exit(0 if fine else 2)
