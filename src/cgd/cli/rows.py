"""Commands that show a run's training rows, or hand them to other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from cgd.cli.shared import ArmName, AsJson, ObjectiveName, RunPath, app, open_store, terminal


@app.command()
def export(
    folder: RunPath,
    to: Annotated[
        Literal["trl", "axolotl", "llama-factory", "openai", "parquet", "jsonl"],
        typer.Option("--format", help="Whose format; parquet and jsonl hold the records' parts as well."),
    ],
    objective: ObjectiveName = None,
    arm: ArmName = None,
    out: Annotated[Path | None, typer.Option(help="A new folder; RUN/export/FORMAT-NAME where absent.")] = None,
    break_special: Annotated[
        bool, typer.Option("--break-special-tokens", help="Break strings in texts that look like control tokens.")
    ] = False,
) -> None:
    """Write a run's records as training data for other tools; rows are not cut, nor left out for their length.

    Example: cgd export runs/quickstart --format trl --objective cgd
    """
    from cgd.export import describe, export_rows
    from cgd.stored import stored_rows

    with open_store(folder) as store:
        rows = stored_rows(folder, store, objective=objective, arm=arm)
    target = out or folder / "export" / f"{to}-{rows.name}"
    exported = export_rows(rows, to, target, break_special=break_special)
    typer.echo("\n".join(describe(exported, broken=break_special)))


@app.command()
def show(
    folder: RunPath,
    objective: ObjectiveName = None,
    arm: ArmName = None,
    row: Annotated[int | None, typer.Option(help="Position of the row, from 0.")] = None,
    record: Annotated[str | None, typer.Option("--id", help="How the record's id begins, in place of --row.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print one training row as token by token the student sees it, and which of it carries loss.

    Example: cgd show runs/quickstart --objective cgd --row 0
    """
    from cgd.show import coloured, plain_text, show_row
    from cgd.stored import stored_rows

    with open_store(folder) as store:
        shown = show_row(stored_rows(folder, store, objective=objective, arm=arm), index=row, prefix=record)
    console = terminal()
    if as_json:
        typer.echo(json.dumps(shown.as_json()))  # in ASCII: no control character of a text reaches a terminal
    elif console.is_terminal:
        console.print(coloured(shown), soft_wrap=True)
    else:
        typer.echo(plain_text(shown))
