"""The command that evaluates a model without a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cgd.cli.shared import AcceptChanges, AsJson, Overrides, Runs, app
from cgd.errors import UserError


@app.command("eval")
def evaluate(  # noqa: PLR0913 - a command and its options
    model: Annotated[str, typer.Argument(help="A checkpoint's folder, a model of the hub, or a built-in one.")],
    tasks: Annotated[
        str,
        typer.Option(
            help="Benchmarks, by comma: NAME, or NAME=FILE.jsonl for rows of a local file ($NAME works); "
            "reasoning_gym=DATASET."
        ),
    ],
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many prompts of each benchmark; all where absent.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run folder; eval-MODEL where absent.")] = None,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    accept_changes: AcceptChanges = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate any model on benchmarks; every answer and verdict is stored, the same command continues.

    Example: cgd eval runs/quickstart/checkpoints/cgd/seed0 --tasks 'gsm8k=$CGD_DATA/gsm8k_test.jsonl' --limit 50
    """
    from cgd import pipeline
    from cgd.cli.runs import headline, result_json
    from cgd.recipe import make_recipe
    from cgd.runfolder import command_line

    benchmarks = [_benchmark(text.strip(), limit) for text in tasks.split(",")]
    values = {
        "name": name or _run_name(model),
        "data": {key: benchmarks[0][key] for key in ("task", "options")},  # nothing is trained: its rows are not read
        "student": {"model": model},
        "arms": [],
        "evaluation": {"tasks": benchmarks},
    }
    recipe = make_recipe(values, overrides or [], "cgd eval")
    result = pipeline.evaluate(recipe, runs, accept_changes=accept_changes, command=command_line())
    if as_json:
        typer.echo(result_json(result))
        return
    for label, numbers in result.summary["tasks"].items():
        tested = {recipe.name.removeprefix("eval-"): numbers["arms"]["base"]}  # "base" is what a run calls it
        typer.echo("\n".join([f"{label}:", *headline({"arms": tested, "paired": {}})]))
    typer.echo(f"done: {result.folder / 'report' / 'index.html'}")


def _benchmark(text: str, limit: int | None) -> dict[str, Any]:
    """What stands behind the name is the task's first option: the file of its rows, or the data set to make."""
    from cgd.plugins import load

    task, _, value = text.partition("=")
    if not task:
        raise UserError(f"--tasks: a benchmark has no name in {text!r}; write NAME or NAME=FILE, with commas between")
    if not value:
        return {"task": task, "n": limit, "options": {}}
    first = next(iter(load("tasks", task).Options.model_fields), None)
    if first is None:
        raise UserError(f"--tasks: {task} takes no option, and so no {value!r}")
    return {"task": task, "n": limit, "options": {first: value}}


def _run_name(model: str) -> str:
    """A checkpoint by its place in its run, any other model by its own name."""
    parts = Path(model).parts
    if "checkpoints" in parts:
        place = parts.index("checkpoints")
        return "-".join(["eval", *parts[max(0, place - 1) : place], *parts[place + 1 :]])
    return f"eval-{Path(model).name}"
