"""Reading JSONL with messages that name file and line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cgd.errors import UserError

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def expand_path(path: str) -> Path:
    """A path with `$NAME` and `~` filled in.

    Raises:
        UserError: an environment variable in it is not set, or there is no such home folder.
    """
    try:
        expanded = Path(os.path.expandvars(path)).expanduser()
    except RuntimeError as error:
        raise UserError(f"path {path!r} names a home folder that there is none of") from error
    if "$" in str(expanded):
        raise UserError(f"path {path!r} names an environment variable that is not set")
    return expanded


def read_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Line number (from 1) and object of every line; blank lines are passed over.

    Raises:
        UserError: no such file, a line that is no JSON object (with its number), or no rows at all.
    """
    rows = list(_parsed_lines(path))
    if not rows:
        raise UserError(f"{path} holds no rows")
    return rows


def require(row: Mapping[str, Any], name: str, where: str) -> str:
    """A text field (numbers as text) of a row.

    Raises:
        UserError: the field is absent, empty or of another type; `where` names file and line.
    """
    value = row.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: field {name!r} must be a non-empty text; got {value!r}; fields: {', '.join(row)}")
    return value


def _parsed_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        # Lines end at \n alone: str.splitlines would also cut at U+2028, which is legal inside JSON text.
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, _parse(line, f"{path}:{number}")
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}") from error


def _parse(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON: {error.msg} at column {error.colno}") from None
    except (ValueError, RecursionError) as error:  # a number of too many digits, too deep a nesting
        raise UserError(f"{where}: not JSON that can be read: {error}") from None
    if not isinstance(row, dict):
        raise UserError(f"{where}: each line must be a JSON object, got {type(row).__name__}")
    if "\\u" in line and _LONE_SURROGATE.search(json.dumps(row, ensure_ascii=False)):
        raise UserError(f"{where}: holds half a surrogate pair (one of \\ud800 to \\udfff), which is no character")
    return row
