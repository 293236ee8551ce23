"""The run folder: its store, manifest, checkpoints, and the lock that keeps a second run out."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from cgd.config import Recipe
from cgd.errors import UserError
from cgd.prompts import template_hashes
from cgd.recipe import flatten
from cgd.store import Store

SUMMARY_FORMAT = 1
"""Of `summary.json`; raise it with every change that a reader must know of."""
_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "math-verify", "numpy", "scipy")
# The first stage that a changed section of the recipe redoes.
_REDONE_FROM = {
    "seed": "data",
    "data": "data",
    "student": "draft",
    "draft": "draft",
    "teacher": "critique",
    "critique": "critique",
    "refinement": "refinement",
    "teacher_answer": "teacher_answer",
    "dataset": "training",
    "arms": "training",
    "training": "training",
    "evaluation": "evaluation",
    "report": "report",
}
# Keys that say what may be spent or borne; a change of them redoes nothing and needs no consent.
_FREE = ("max_failed_share", "budget", "student.price", "teacher.price")
_STAGES = ("data", "draft", "critique", "refinement", "teacher_answer", "training", "evaluation", "report")


class RunFolder:
    """Paths and shared state of one run."""

    def __init__(self, path: Path) -> None:
        """Open the store in a folder whose lock is held."""
        self.path = path
        self.store = Store(path / "run.sqlite")
        self.manifest: dict[str, Any] = read_json(path / "manifest.json") or {}

    def checkpoint(self, arm: str, seed: int, number: int | None = None) -> Path:
        """Where a trained student lies: in the end, or after a round before the last."""
        arms = self.manifest["recipe"]["arms"]
        known = next((one for one in arms if one["name"] == arm), {"name": arm, "rounds": 1})
        return checkpoint_place(self.path, known, seed, number)

    def dataset(self, arm: str) -> Path:
        """Where an arm's training rows lie as text."""
        return self.path / "dataset" / f"{arm}.parquet"

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a file of the folder so that it is never half there."""
        scratch = self.path / f"{name}.partial"
        scratch.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        scratch.replace(self.path / name)

    def save_manifest(self) -> None:
        """Write the manifest, unless it stands there as it is."""
        if read_json(self.path / "manifest.json") != self.manifest:
            self.write_json("manifest.json", self.manifest)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds spent inside to the stage's duration, whatever happens."""
        started = time.perf_counter()
        try:
            yield
        finally:
            durations = self.manifest.setdefault("durations_s", {})
            durations[stage] = round(durations.get(stage, 0.0) + time.perf_counter() - started, 1)


def checkpoint_place(run: Path, arm: Mapping[str, Any], seed: int, number: int | None = None) -> Path:
    """Where a trained student of a recipe's arm lies: in the end, or after a round before the last."""
    early = f"-round{number}" if number is not None and number < arm["rounds"] else ""
    return run / "checkpoints" / str(arm["name"]) / f"seed{seed}{early}"


@contextmanager
def open_run(path: Path, recipe: Recipe, *, accept_changes: bool, command: Sequence[str]) -> Iterator[RunFolder]:
    """Open (or begin) the run of a recipe and hold its lock.

    Raises:
        UserError: another process runs it, or it was begun with another recipe and changes are not accepted.
    """
    saved = read_json(path / "manifest.json")
    resolved = recipe.model_dump(mode="json")
    changed = _changes(_with_defaults(saved["recipe"]), resolved) if saved else {}
    if changed and not accept_changes:
        raise UserError(_describe_changes(path, changed))
    path.mkdir(parents=True, exist_ok=True)
    with hold(path):
        folder = RunFolder(path)
        try:
            # In memory only: a run that is refused before anything was made leaves no manifest to collide with.
            if not saved or saved["recipe"] != resolved:
                folder.manifest |= _environment(recipe, command) | {"recipe": resolved}
            yield folder
        except BaseException:
            # What the stages took so far; but a recipe that was refused is not taken down as the run's.
            if (read_json(path / "manifest.json") or {}).get("recipe") == folder.manifest["recipe"]:
                folder.save_manifest()
            raise
        finally:
            folder.store.close()


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold a run folder's lock.

    Raises:
        UserError: another process holds it.
    """
    lock = _take_lock(path)
    try:
        yield
    finally:
        lock.close()


def is_held(path: Path) -> bool:
    """Whether a process works on a run folder now."""
    try:
        with (path / "run.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file; None where there is no such file.

    Raises:
        UserError: the file holds something else.
    """
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}; mend it, or remove it to begin anew") from error
    return value


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The `summary.json` of a run; None where the run is not finished.

    Raises:
        UserError: another version of cgd wrote it.
    """
    summary = read_json(folder / "summary.json")
    if summary is not None and summary.get("format") != SUMMARY_FORMAT:
        raise UserError(
            f"{folder / 'summary.json'} has format {summary.get('format')}, this cgd reads {SUMMARY_FORMAT}; "
            "cgd run with the run's recipe writes it again from the store, and makes nothing that is there"
        )
    return summary


def _take_lock(path: Path) -> IO[str]:
    lock = (path / "run.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise UserError(f"{path} is in use by another cgd process (pid {owner}); wait for it, or stop it") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _with_defaults(saved: dict[str, Any]) -> dict[str, Any]:
    """A saved recipe with the keys that have come since, at their defaults; as it is where it is no longer valid."""
    try:
        return Recipe.model_validate(saved).model_dump(mode="json")
    except ValidationError:
        return saved


def _changes(saved: Mapping[str, Any], resolved: Mapping[str, Any]) -> dict[str, str]:
    """What differs and may change a result, as `old -> new` by key."""
    old, new = flatten(saved), flatten(resolved)
    # As text, so that an absent key differs from one that is None.
    before, after = ({key: repr(value) for key, value in leaves.items()} for leaves in (old, new))
    return {
        key: f"{before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in sorted(old | new)
        if before.get(key) != after.get(key) and not f"{key}.".startswith(tuple(f"{free}." for free in _FREE))
    }


def _describe_changes(path: Path, changed: Mapping[str, str]) -> str:
    first = min((_REDONE_FROM.get(key.split(".")[0], "data") for key in changed), key=_STAGES.index)
    redone = ", ".join(_STAGES[_STAGES.index(first) :])
    return "\n".join(
        [
            f"{path} was begun with another recipe:",
            *(f"  {key}: {change}" for key, change in changed.items()),
            f"Stages that work again where their inputs changed: {redone}. Rows already stored stay.",
            "Go on with --accept-changes, or give the recipe another name.",
        ]
    )


def _environment(recipe: Recipe, command: Sequence[str]) -> dict[str, Any]:
    packaged = ["control.jinja", "critique.jinja", "refinement.jinja", "student.jinja"]
    own = [prompt for prompt in (recipe.critique.prompt, recipe.refinement.prompt) if prompt]
    return {
        "name": recipe.name,
        "command": " ".join(command),
        "cgd_version": version("cgd"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {package: found for package in _PACKAGES if (found := _version(package))},
        "git": _git_state(),
        "prompt_hashes": template_hashes(packaged + own),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any] | None:
    """Commit and cleanliness of the working directory's repository; None outside of one."""
    try:
        commit, status = (
            subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10).stdout
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit.strip(), "dirty": bool(status.strip())}


def command_line() -> list[str]:
    """The command as the user typed it, with the program's bare name."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
