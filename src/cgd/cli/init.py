"""The command that writes a first recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cgd.cli.shared import app


@app.command()
def init(  # noqa: PLR0913 - a command and its options
    path: Annotated[Path, typer.Argument(help="The recipe to write; its stem names the run.")] = Path("recipe.toml"),
    student: Annotated[
        str, typer.Option(help="The model to train: built in, a local folder, or a hub id.")
    ] = "smollm2-135m-instruct",
    teacher: Annotated[
        str | None,
        typer.Option(help="A server's URL, a .gguf file, a model as for --student, or tutor; no teacher where absent."),
    ] = None,
    data: Annotated[
        str, typer.Option(help="A JSONL file, a task, or TASK=FILE.jsonl; {split} stands for train or test.")
    ] = "arithmetic",
    evaluate: Annotated[
        str | None, typer.Option(help="The same for test prompts; those of --data where it has any.")
    ] = None,
    teacher_model: Annotated[
        str | None, typer.Option(help="The name that the teacher's server knows it by; the server is asked.")
    ] = None,
    prompt_field: Annotated[
        str | None, typer.Option(help="Where the file's prompts are not in a field of a usual name.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a recipe that is there.")] = False,
) -> None:
    """Write a commented recipe for your model, teacher and data; your file and this machine are looked at.

    Example: cgd init mine.toml --student Qwen/Qwen2.5-0.5B-Instruct --teacher http://localhost:8000/v1 --data my.jsonl
    """
    from cgd.starter import Wishes, write_recipe

    wishes = Wishes(student, teacher, data, evaluate, teacher_model, prompt_field)
    write_recipe(path, wishes, force=force)
    typer.echo(f"done: {path}; next: cgd check {path}, then cgd plan {path}")
