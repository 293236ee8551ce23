"""The command that grades anyone's table."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
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
    from cgd.grade_file import verdicts

    name = "standard input" if file == "-" else file
    with tempfile.TemporaryFile() as table:  # a pipe can be read only once
        try:
            if file == "-":
                shutil.copyfileobj(sys.stdin.buffer, table)
            else:
                with open(file, "rb") as source:
                    shutil.copyfileobj(source, table)
        except OSError as error:
            raise UserError(f"can't read {name}: {error.strerror}") from error
        table.seek(0)
        for verdict in verdicts(table, name):
            typer.echo(json.dumps(verdict))
