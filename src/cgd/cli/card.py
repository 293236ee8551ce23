"""The command that writes model cards and a data card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cgd.cli.shared import RunPath, app


@app.command()
def card(
    folder: RunPath,
    arm: Annotated[str | None, typer.Option(help="Only the checkpoints of this arm; all where absent.")] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Of the weights, as the hub names it, for example apache-2.0.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the cards into this folder; beside what they describe where absent.")
    ] = None,
) -> None:
    """Write a model card into each checkpoint's folder and a data card beside the training rows, for the hub.

    Example: cgd card runs/quickstart --license apache-2.0
    """
    from cgd.cards import write_cards

    for written in write_cards(folder, arm=arm, licence=licence, out=out):
        typer.echo(f"done: {written}")
