"""The command line. Exit codes: 0 done, 1 bug, 2 the user's mistake, 3 stopped but resumable, 130 interrupted."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cgd.errors import CgdError, UserError

if TYPE_CHECKING:
    from cgd.store import Store

app = typer.Typer(
    help="Critique-guided distillation: draft, critique, refinement, fine-tuning, evaluation, report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
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


@app.command()
def run(
    recipes: Recipes,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    until: Annotated[
        Literal["draft", "critique", "refinement", "teacher_answer", "training"] | None,
        typer.Option(help="The last stage to run."),
    ] = None,
    accept_changes: AcceptChanges = False,
) -> None:
    """Run a recipe end to end, or whatever of it is missing.

    Example: cgd run configs/quickstart.toml --set data.n=64
    """
    from cgd import pipeline
    from cgd.recipe import load_recipe
    from cgd.runfolder import command_line

    recipe = load_recipe(recipes, overrides or [])
    result = pipeline.run(recipe, runs, until=until, accept_changes=accept_changes, command=command_line())
    if until:
        typer.echo(f"done until {until}: {result.folder}; cgd run without --until goes on")
        return
    page = result.folder / "report" / "index.html"
    typer.echo("\n".join(_headline(result.summary)))
    typer.echo(f"done: {page}" if result.made else f"nothing to do: {result.folder} is complete ({page})")


@app.command()
def train(
    recipes: Recipes, overrides: Overrides = None, runs: Runs = Path("runs"), accept_changes: AcceptChanges = False
) -> None:
    """Train what the arms of a recipe lack, alone or over the processes of a launcher; cgd run goes on from there.

    Example: accelerate launch --config_file configs/launch/ddp_8gpu.yaml -m cgd.cli train configs/compare.toml
    """
    from cgd.training.processes import take_part

    def work() -> None:
        run(recipes, overrides, runs, until="training", accept_changes=accept_changes)

    take_part(work)


@app.command()
def check(recipes: Recipes, overrides: Overrides = None) -> None:
    """Validate a recipe and every plug-in's options; nothing is fetched, loaded or spent.

    Example: cgd check configs/compare.toml
    """
    from cgd.recipe import load_recipe
    from cgd.resolve import resolve

    recipe = load_recipe(recipes, overrides or [])
    resolve(recipe)
    typer.echo(f"{recipe.name}: valid; arms: {', '.join(arm.name for arm in recipe.arms)}")


@app.command()
def plan(
    recipes: Recipes,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    measure: Annotated[
        int | None, typer.Option(min=2, help="Run this many prompts, and a short training, to measure time and memory.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
) -> None:
    """Say what a run will need: requests, tokens, money, time and memory.

    Example: cgd plan configs/quickstart.toml --measure 8
    """
    from cgd.plan import make_plan
    from cgd.plan.show import sentences, table
    from cgd.recipe import load_recipe
    from cgd.runfolder import command_line

    planned = make_plan(load_recipe(recipes, overrides or []), runs, measured=measure or 0, command=command_line())
    if as_json:
        typer.echo(json.dumps(planned.as_json(), ensure_ascii=False))
        return
    _console().print(table(planned))
    typer.echo("\n".join(sentences(planned)))


@app.command()
def report(folder: RunPath) -> None:
    """Write a run's report again from its store.

    Example: cgd report runs/quickstart
    """
    from cgd.pipeline import write_report
    from cgd.runfolder import open_run, read_json
    from cgd.stored import run_recipe

    summary = read_json(folder / "summary.json")
    if summary is None:
        raise UserError(f"{folder} holds no finished run (manifest.json and summary.json); start it with cgd run")
    recipe = run_recipe(folder)
    with open_run(folder, recipe, accept_changes=False, command=()) as opened:
        write_report(opened, recipe, summary)
    typer.echo(f"done: {folder / 'report' / 'index.html'}")


@app.command()
def status(
    folder: RunPath,
    failed: Annotated[bool, typer.Option("--failed", help="List the failed rows with their errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
) -> None:
    """Show where a run stands, running or finished.

    Example: cgd status runs/quickstart --failed
    """
    from cgd.status import failed_rows, server_status, stage_status

    with _store(folder) as store:
        tables: dict[str, Sequence[Any]] = (
            {"failed": failed_rows(store)}
            if failed
            else {"stages": stage_status(store), "servers": server_status(store)}
        )
    if as_json:
        listed = {title: [row._asdict() for row in rows] for title, rows in tables.items()}
        typer.echo(json.dumps(listed, ensure_ascii=False))
    elif any(tables.values()):
        console = _console()
        for rows in filter(None, tables.values()):
            console.print(_table(rows))
    else:
        typer.echo("no failed rows" if failed else "nothing generated yet")


@app.command()
def reparse(folder: RunPath) -> None:
    """Parse the stored raw replies again, for free, after a parsing rule changed.

    Example: cgd reparse runs/quickstart
    """
    from cgd.runfolder import hold
    from cgd.sampling import reparse as parse_again

    with _store(folder) as store, hold(folder):
        result = parse_again(store)
    typer.echo(f"changed: {result.changed} (failed rows recovered: {result.recovered}, texts lost: {result.lost})")


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

    with _store(folder) as store:
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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
) -> None:
    """Print one training row as token by token the student sees it, and which of it carries loss.

    Example: cgd show runs/quickstart --objective cgd --row 0
    """
    from cgd.show import coloured, plain_text, show_row
    from cgd.stored import stored_rows

    with _store(folder) as store:
        shown = show_row(stored_rows(folder, store, objective=objective, arm=arm), index=row, prefix=record)
    console = _console()
    if as_json:
        typer.echo(json.dumps(shown.as_json()))  # in ASCII: no control character of a text reaches a terminal
    elif console.is_terminal:
        console.print(coloured(shown), soft_wrap=True)
    else:
        typer.echo(plain_text(shown))


@contextmanager
def _store(folder: Path) -> Iterator[Store]:
    from cgd.store import Store

    path = folder / "run.sqlite"
    if not path.is_file():
        raise UserError(f"{folder} holds no run (run.sqlite); start one with cgd run")
    store = Store(path)
    try:
        yield store
    finally:
        store.close()


def _console() -> Console:
    """A terminal as wide as it is; elsewhere lines that are not broken."""
    return Console(width=None if sys.stdout.isatty() else 250)


def _table(rows: Sequence[Any]) -> Table:
    table = Table(*rows[0]._fields, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        # Model and server text: escaped, so that no [markup] in it is obeyed.
        table.add_row(*(escape(str(value)) for value in row))
    return table


def _headline(summary: Mapping[str, Any]) -> Iterator[str]:
    """The first task's accuracies and differences, a line each."""
    for name, arm in summary["arms"].items():
        if arm["n"]:
            yield f"{name:<16} {_percent(arm['strict_accuracy'], arm['ci95'])}  strict accuracy, n = {arm['n']}"
    for name, pair in summary["paired"].items():
        if pair["n"]:
            yield f"{name:<16} {_percent(pair['difference'], pair['ci95'])}  paired difference, n = {pair['n']}"


def _percent(value: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{100 * value:6.1f}%  [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    """Entry point: an error of the user's prints its message, a bug keeps its traceback."""
    try:
        app()
    except CgdError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as end:
        if end.code == 130:  # typer's own answer to an interrupt, which says nothing
            print("interrupted: everything generated is stored; the same command continues", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
