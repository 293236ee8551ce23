"""What benchmarks of training and scoring share: the quickstart's records, and jobs in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.output import scratch_folder
from cgd import pipeline
from cgd.config import Recipe
from cgd.recipe import load_recipe
from cgd.records import Prompt, Record
from cgd.store import Store, load_messages

_RECIPE = Path(__file__).parents[1] / "configs" / "quickstart.toml"


def quickstart(prompts: int) -> Recipe:
    """The quickstart recipe with so many training prompts."""
    return load_recipe([_RECIPE], [f"data.n={prompts}"])


def records_of(recipe: Recipe) -> list[Record]:
    """The records of a recipe; generated unless an earlier benchmark did (drafting takes a few minutes)."""
    result = pipeline.run(recipe, scratch_folder() / f"rows-{recipe.data.n}", until="refinement", accept_changes=True)
    store = Store(result.folder / "run.sqlite")
    rows = store.query("SELECT * FROM records")
    store.close()
    return [
        Record(
            Prompt(row["prompt_id"], tuple(load_messages(row["prompt"]))),
            row["draft"],
            row["critique"],
            row["refinement"],
        )
        for row in rows
    ]


def run_job(module: str, job: dict[str, Any]) -> dict[str, Any]:
    """The figures of one job in a process of its own.

    Args:
        module: it reads the job as JSON and writes its figures as JSON.
        job: `kind` says what is measured.
    """
    done = subprocess.run(
        [sys.executable, "-m", module], input=json.dumps(job), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{job['kind']} failed:\n{done.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    print(job["kind"], {name: value for name, value in figures.items() if name != "log"}, file=sys.stderr)
    return figures
