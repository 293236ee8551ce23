"""The three seams and the loader: a plug-in is a file found by its name.

`backend = "vllm"` means `cgd/backends/vllm.py`; a dotted name means the user's own module. A plug-in
module has an `Options` model (its own keys, unknown ones rejected) and `build(options)`, which is
cheap: weights are loaded and connections opened on first use.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Literal, Protocol, runtime_checkable

from cgd.errors import UserError
from cgd.records import Example, GradingRule, Prompt, Record, Reply, Request
from cgd.validation import validate

Kind = Literal["backends", "tasks", "objectives"]


@runtime_checkable
class Backend(Protocol):
    """Generates texts."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything about this backend that can change a text: model, revision, options. Part of every key."""

    def check(self, requests: Sequence[Request]) -> None:
        """Raise UserError where a request can't be served (a prompt longer than the context), before any is."""

    def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
        """Yield one reply a request as each is ready, in any order; a failure is a reply with an error class."""

    def stop(self) -> None:
        """Start nothing new: a `generate` under way ends once what is in flight has been yielded."""

    def close(self) -> None:
        """Give back memory and connections."""


@runtime_checkable
class Task(Protocol):
    """Knows its prompts and how answers to them are graded."""

    def rule(self, prompt: Prompt) -> GradingRule:
        """How answers to this prompt are graded."""

    def load(self, split: Literal["train", "test"], n: int | None, seed: int) -> list[Prompt]:
        """The first `n` prompts of a split (all where None), the same for the same seed.

        Raises:
            UserError: the data is missing, malformed (with the line number) or empty.
        """


@runtime_checkable
class Objective(Protocol):
    """A pure view of one record as a training example."""

    @property
    def needs(self) -> frozenset[str]:
        """Which of draft, critique, refinement and solution the view reads."""

    def example(self, record: Record) -> Example:
        """Context messages and target."""


def available(kind: Kind) -> list[str]:
    """Names of the plug-ins that ship in a folder."""
    package = importlib.import_module(f"cgd.{kind}")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def load(kind: Kind, name: str) -> ModuleType:
    """Import a plug-in module by its name.

    Raises:
        UserError: no such plug-in (with the allowed names), or a package it needs is not installed.
    """
    if name.startswith(".") or ("." not in name and name not in available(kind)):
        allowed = ", ".join(available(kind))
        raise UserError(f"no plug-in {name!r} in {kind}; allowed: {allowed}, or the dotted name of your own module")
    dotted = name if "." in name else f"cgd.{kind}.{name}"
    try:
        module = importlib.import_module(dotted)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{kind} plug-in {name!r} can't be imported: {error} (is it installed, on PYTHONPATH?)"
        ) from error
    missing = [attribute for attribute in ("Options", "build") if not hasattr(module, attribute)]
    if missing:
        raise UserError(f"{kind} plug-in {name!r} lacks {' and '.join(missing)}; see CONTRIBUTING.md")
    return module


def build_backend(name: str, options: Mapping[str, Any]) -> Backend:
    """Build a backend from its recipe name and options; UserError where they are wrong."""
    backend: Backend = _build("backends", name, options)
    return backend


def build_task(name: str, options: Mapping[str, Any]) -> Task:
    """Build a task from its recipe name and options; UserError where they are wrong."""
    task: Task = _build("tasks", name, options)
    return task


def build_objective(name: str, options: Mapping[str, Any]) -> Objective:
    """Build an objective from its recipe name and options; UserError where they are wrong."""
    objective: Objective = _build("objectives", name, options)
    return objective


def _build(kind: Kind, name: str, options: Mapping[str, Any]) -> Any:
    module = load(kind, name)
    return module.build(validate(module.Options, options, f"options of {kind} plug-in {name!r}"))
