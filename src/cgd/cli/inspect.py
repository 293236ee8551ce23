"""The command that shows a run's records in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from cgd.cli.shared import RunPath, app, open_store
from cgd.extras import require_packages


@app.command()
def inspect(
    folder: RunPath,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of this machine; 0 takes any that is free.")] = 8001,
) -> None:
    """Read a run's records side by side in a browser, filter and search them, accept, reject or annotate them.

    Example: cgd inspect runs/quickstart
    """
    require_packages("inspect", "cgd inspect", "datasette")
    from cgd.inspector.models import scoring_models
    from cgd.inspector.server import listen, serve
    from cgd.stored import run_recipe

    recipe = run_recipe(folder)
    with open_store(folder) as store:  # which also gives an older store what it lacks
        scored = store.query("SELECT 1 FROM scores LIMIT 1")
    listening = listen(port)
    typer.echo(f"http://127.0.0.1:{listening.getsockname()[1]}/  (Ctrl+C ends it)")
    serve(folder, scoring_models(folder, recipe) if scored else {}, listening)
