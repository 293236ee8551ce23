"""What the commands share: the application, kinds of arguments, the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cgd import __version__
from cgd.errors import UserError

if TYPE_CHECKING:
    from cgd.store import Store

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Example: cgd init mine.toml --data my.jsonl && cgd plan mine.toml && cgd run mine.toml",
)

Recipes = Annotated[list[Path], typer.Argument(help="Recipe files (TOML); later ones win key by key.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="section.key=value; wins over the files.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the run folders.")]
RunPath = Annotated[Path, typer.Argument(help="A run folder, for example runs/quickstart.")]
ObjectiveName = Annotated[str | None, typer.Option("--objective", help="Any objective, as its plug-in is named.")]
ArmName = Annotated[str | None, typer.Option("--arm", help="An arm of the run's recipe, in place of --objective.")]
AcceptChanges = Annotated[
    bool, typer.Option("--accept-changes", help="Go on although the run was begun with another recipe.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cgd {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Critique-guided distillation: draft, critique, refinement, fine-tuning, evaluation, report."""


@contextmanager
def open_store(folder: Path) -> Iterator[Store]:
    """The store of a run that exists; UserError where there is none."""
    from cgd.store import Store

    path = folder / "run.sqlite"
    if not path.is_file():
        raise UserError(f"{folder} holds no run (run.sqlite); start one with cgd run")
    store = Store(path)
    try:
        yield store
    finally:
        store.close()


def terminal() -> Console:
    """A terminal as wide as it is; elsewhere lines that are not broken."""
    return Console(width=None if sys.stdout.isatty() else 250)


def rows_table(rows: Sequence[Any]) -> Table:
    """Named tuples of one kind as a table, their fields as heads, numbers to the right."""
    table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
    for name, value in rows[0]._asdict().items():
        table.add_column(name, justify="right" if isinstance(value, int | float) else "left")
    for row in rows:
        # Model and server text: escaped, so that no [markup] in it is obeyed.
        table.add_row(*(escape(_cell(value)) for value in row))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
