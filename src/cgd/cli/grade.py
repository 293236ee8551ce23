"""The command that grades anyone's table."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from cgd.cli.shared import app
from cgd.errors import UserError


@app.command()
def grade(
    file: Annotated[str, typer.Argument(help="JSONL: gold, prediction, optional kind and tolerance; - is stdin.")],
) -> None:
    """Grade predictions against golds: one JSON object a line comes out, in the order of the input.

    Strict: the answer stands in a marked form (a last line `Answer: ...`, a box, or nothing else at all). Flexible: any
    answer that can be recovered. null = unscored.

    Example: echo '{"gold": "1/2", "prediction": "So it is 0.5."}' | cgd grade -
    """
    from cgd.grade_file import read_lines, verdicts

    name = "standard input" if file == "-" else file
    try:
        # Lines end at \n alone: other line separators are legal inside JSON text.
        stream = sys.stdin.buffer if file == "-" else open(file, "rb")  # noqa: SIM115 - stdin is not ours to close
        with stream:
            lines = stream.read().decode("utf-8", errors="replace").split("\n")
    except OSError as error:
        raise UserError(f"can't read {name}: {error.strerror}") from error
    for verdict in verdicts(read_lines(lines, name)):
        typer.echo(json.dumps(verdict))
