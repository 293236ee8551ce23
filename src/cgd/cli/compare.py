"""The command that compares runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cgd.cli.shared import AsJson, app


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, two or more.")],
    arm: Annotated[
        list[str] | None, typer.Option("--arm", help="Only this arm, or base; may be given several times.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the students of several runs on the benchmark prompts that they share.

    Example: cgd compare runs/quickstart runs/quickstart-long --arm cgd
    """
    from cgd.comparison import compare as compare_runs

    compared = compare_runs(folders, arm or [])
    if as_json:
        typer.echo(json.dumps(compared, ensure_ascii=False))
    else:
        typer.echo("\n".join(_lines(compared)))


def _lines(compared: Mapping[str, Any]) -> Iterator[str]:
    from cgd.cli.runs import headline

    for task, numbers in compared["tasks"].items():
        yield f"{task}:"
        yield from headline({"arms": numbers["arms"], "paired": {}})
        yield from numbers["words"]
    if compared["recipes"]:
        yield "The recipes differ:"
    for key, values in compared["recipes"].items():
        yield f"  {key}: " + "; ".join(f"{run}: {json.dumps(value)}" for run, value in values.items())
