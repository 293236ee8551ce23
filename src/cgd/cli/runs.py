"""Commands that make a run, or say what it will need and where it stands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cgd.cli.shared import AcceptChanges, AsJson, Overrides, Recipes, RunPath, Runs, app, open_store, terminal
from cgd.errors import UserError

if TYPE_CHECKING:
    from cgd.pipeline import RunResult


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
    as_json: AsJson = False,
) -> None:
    """Run a recipe end to end, or whatever of it is missing.

    Example: cgd run configs/quickstart.toml --set data.n=64
    """
    from cgd import pipeline
    from cgd.recipe import load_recipe
    from cgd.runfolder import command_line

    recipe = load_recipe(recipes, overrides or [])
    result = pipeline.run(recipe, runs, until=until, accept_changes=accept_changes, command=command_line())
    if as_json:
        typer.echo(result_json(result))
        return
    if until:
        typer.echo(f"done until {until}: {result.folder}; cgd run without --until goes on")
        return
    page = result.folder / "report" / "index.html"
    typer.echo("\n".join(headline(result.summary)))
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
    as_json: AsJson = False,
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
    terminal().print(table(planned))
    typer.echo("\n".join(sentences(planned)))


@app.command()
def report(folder: RunPath) -> None:
    """Write a run's report again from its store.

    Example: cgd report runs/quickstart
    """
    from cgd.pipeline import write_report
    from cgd.runfolder import open_run, read_summary
    from cgd.stored import run_recipe

    summary = read_summary(folder)
    if summary is None:
        raise UserError(f"{folder} holds no finished run (manifest.json and summary.json); start it with cgd run")
    recipe = run_recipe(folder)
    with open_run(folder, recipe, accept_changes=False, command=()) as opened:
        write_report(opened, recipe, summary)
    typer.echo(f"done: {folder / 'report' / 'index.html'}")


@app.command()
def reparse(folder: RunPath) -> None:
    """Parse the stored raw replies again, for free, after a parsing rule changed.

    Example: cgd reparse runs/quickstart
    """
    from cgd.runfolder import hold
    from cgd.sampling import reparse as parse_again

    with open_store(folder) as store, hold(folder):
        result = parse_again(store)
    typer.echo(f"changed: {result.changed} (failed rows recovered: {result.recovered}, texts lost: {result.lost})")


def result_json(result: RunResult) -> str:
    """The folder, whether anything was made, and what `summary.json` holds (nothing before the evaluation)."""
    return json.dumps({"folder": str(result.folder), "made": result.made, "summary": result.summary})


def headline(numbers: Mapping[str, Any]) -> list[str]:
    """One benchmark's accuracies and differences, a line each."""
    lines = [
        (name, _percent(arm["strict_accuracy"], arm["ci95"]), f"strict accuracy, n = {arm['n']}")
        for name, arm in numbers["arms"].items()
        if arm["n"]
    ] + [
        (name, _percent(pair["difference"], pair["ci95"]), f"paired difference, n = {pair['n']}")
        for name, pair in numbers["paired"].items()
        if pair["n"]
    ]
    width = max((len(name) for name, _, _ in lines), default=0)
    return [f"{name:<{width}}  {value}  {what}" for name, value, what in lines]


def _percent(value: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{100 * value:6.1f}%  [{100 * low:.1f}, {100 * high:.1f}]"
