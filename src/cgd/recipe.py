"""Reading a recipe: defaults < TOML files from left to right < `--set section.key=value`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cgd.config import Recipe
from cgd.errors import UserError
from cgd.validation import validate


def load_recipe(paths: Sequence[str | Path], overrides: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe.

    Args:
        paths: TOML files; later ones win key by key (lists are replaced whole).
        overrides: `section.key=value` strings, values in TOML; list items by index (`arms.0.name=x`).

    Raises:
        UserError: a file is missing or malformed, a key is unknown (with the closest known key), a
            value is not allowed.
    """
    merged: dict[str, Any] = {}
    for path in map(Path, paths):
        merged = _merge(merged, _read_toml(path))
    merged.setdefault("name", Path(paths[0]).stem)
    where = " + ".join(str(path) for path in paths)
    recipe = make_recipe(merged, overrides, where)
    if not recipe.arms:
        raise UserError(
            f"{where}: a recipe needs at least one [[arms]] section; cgd eval evaluates a model without any"
        )
    return recipe


def make_recipe(values: dict[str, Any], overrides: Sequence[str], where: str) -> Recipe:
    """Validate a recipe's values.

    Args:
        values: as a TOML file has them; the overrides are put into them.
        overrides: `section.key=value` strings.
        where: they come from, for messages.

    Raises:
        UserError: a key is unknown (with the closest known key), or a value is not allowed.
    """
    for override in overrides:
        _apply_override(values, override)
    return validate(Recipe, values, where)


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested dicts and lists by dotted path, for comparing recipes."""
    items: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list | tuple):
        items = list(enumerate(value))
    if not items:
        return {prefix: value}
    leaves: dict[str, Any] = {}
    for key, child in items:
        leaves |= flatten(child, f"{prefix}.{key}" if prefix else str(key))
    return leaves


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"recipe {path} does not exist (working directory: {Path.cwd()})") from None
    except IsADirectoryError:
        raise UserError(f"recipe {path} is a folder; give the path of a TOML file") from None
    except OSError as error:
        raise UserError(f"can't read recipe {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"recipe {path} is not valid TOML: {error}") from None


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(merged.get(key), dict) and isinstance(value, dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _apply_override(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise UserError(f"--set {override!r}: write it as section.key=value, for example --set data.n=50")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = path.strip().split(".")
    node: Any = values
    for step in parents:
        node = node.setdefault(step, {}) if isinstance(node, dict) else _item(node, step, override)
    if isinstance(node, list):
        _item(node, last, override)
        node[int(last)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise UserError(f"--set {override!r}: {'.'.join(parents)} is a plain value, it has no key {last!r}")


def _item(node: Any, step: str, override: str) -> Any:
    if isinstance(node, list) and step.isdecimal() and int(step) < len(node):
        return node[int(step)]
    raise UserError(f"--set {override!r}: there is no item {step!r}")
