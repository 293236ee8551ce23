"""Holds a command of the documents to what it names, without running it."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import typer.main

from cgd.cli import app
from cgd.recipe import load_recipe
from cgd.resolve import resolve
from tests.docs.pages import ROOT

FOREIGN = {"cat", "cp", "echo", "export", "hf", "ray", "tar", "vllm"}
"""Programs that are not ours to check."""
CGD = typer.main.get_command(app).commands  # type: ignore[attr-defined]
_ASSIGNMENT = re.compile(r"^\w+=")
_PLACEHOLDER = re.compile(r"^[A-Z]+$")


def check(words: Sequence[str]) -> None:
    """AssertionError, or the command line's own error, where a command can't be what the reader should type.

    Recipes and files are looked for in the working directory.
    """
    while _ASSIGNMENT.match(words[0]):
        words = words[1:]
    program, arguments = Path(words[0]).name, list(words[1:])
    if program == "cgd":
        _check_cgd(arguments)
    elif program in ("accelerate", "torchrun"):
        _check_launch(arguments)
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(arguments) <= set(targets)
    elif program == "python":
        _check_python(arguments)
    elif program == "pip":
        _check_pip(arguments)
    elif program == "pytest":
        named = [word.partition("::")[0] for word in arguments if word.startswith("tests")]
        assert [path for path in named if not (ROOT / path).exists()] == []
    else:
        assert program in FOREIGN, f"neither ours nor known: {program}"


def _check_cgd(arguments: list[str]) -> None:
    name, *rest = arguments
    given = CGD[name].make_context(name, rest).params  # what it refuses is a usage error
    recipes = [Path(path) for path in given.get("recipes") or []]
    if recipes and not any(_PLACEHOLDER.match(path.name) for path in recipes):
        resolve(load_recipe(recipes, given["overrides"] or []))  # as `cgd check` does


def _check_launch(arguments: list[str]) -> None:
    if "--config_file" in arguments:
        assert (ROOT / arguments[arguments.index("--config_file") + 1]).is_file()
    module = arguments.index("-m")
    assert arguments[module + 1] == "cgd.cli"
    _check_cgd(arguments[module + 2 :])


def _check_python(arguments: Sequence[str]) -> None:
    if arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1])
    else:
        assert (ROOT / arguments[0]).is_file()


def _check_pip(arguments: Sequence[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for named in re.findall(r"cgd\[([\w,]+)\]", " ".join(arguments)):
        assert set(named.split(",")) <= set(extras)
