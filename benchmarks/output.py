"""How every benchmark is called and answers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cgd.models import cache_folder


def parser(module_doc: str | None) -> argparse.ArgumentParser:
    """A parser with what all benchmarks share."""
    made = argparse.ArgumentParser(description=module_doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="print the figures as one JSON object on the last line")
    return made


def show(figures: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a line for each figure, and all of them as one JSON object at the end where that is asked for."""
    for name, value in figures.items():
        print(f"{name:<24} {value:,.3f}" if isinstance(value, float) else f"{name:<24} {value}")
    if as_json:
        print(json.dumps(figures))


def scratch_folder() -> Path:
    """Where benchmarks write: on disk, for a temporary folder may be in memory, where a commit costs nothing."""
    folder = cache_folder() / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
