"""The command that measures what critiques add."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cgd.cli.shared import AsJson, RunPath, app
from cgd.errors import UserError


@app.command()
def analyze(  # noqa: PLR0913 - a command and its options
    folder: RunPath,
    arm: Annotated[str | None, typer.Option(help="Whose student is scored after training; cgd, or the first.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of that training; the first where absent.")] = None,
    records: Annotated[int | None, typer.Option(min=2, help="How many records; all where absent.")] = None,
    candidates: Annotated[int, typer.Option(min=2, help="Refinements that compete in the Bayes check.")] = 4,
    bayes_records: Annotated[int, typer.Option(min=0, help="Records that enter the Bayes check.")] = 64,
    as_json: AsJson = False,
) -> None:
    """Score a run's records, before and after training: entropy by context, information gain, Bayes' rule, audits.

    Example: cgd analyze runs/quickstart
    """
    from cgd.analyze import Options, analyze
    from cgd.pipeline import write_report
    from cgd.runfolder import open_run, read_summary
    from cgd.stored import run_recipe

    recipe, summary = run_recipe(folder), read_summary(folder)
    names = [one.name for one in recipe.arms]
    chosen = arm or ("cgd" if "cgd" in names else names[0])
    if chosen not in names:
        raise UserError(f"no arm {chosen!r} in this run; it has: {', '.join(names)}")
    options = Options(chosen, recipe.training.seeds[0] if seed is None else seed, records, candidates, bayes_records)
    with open_run(folder, recipe, accept_changes=False, command=()) as opened:
        with opened.timed("analysis"):
            account = analyze(opened, recipe, options)
        opened.save_manifest()
        if summary is not None:
            write_report(opened, recipe, summary)
    if as_json:
        typer.echo(json.dumps(account))
        return
    for model, contexts in account["entropy"].items():
        quantities = {f"H(refinement | {context})": value for context, value in contexts.items()}
        for name, value in {**quantities, "information gain": account["information_gain"][model]}.items():
            low, high = value["ci95"] or (float("nan"), float("nan"))
            typer.echo(f"{model:<15} {name:<32} {value['mean']:7.4f} [{low:.4f}, {high:.4f}] nats a token")
    typer.echo(f"done: {folder / 'analysis.json'}, n = {account['records']} records")
