"""How soon the command line answers: `cgd --help` and `cgd check` in fresh processes, and what they import.

help_s, check_s   median seconds from start to end of the process
torch_imported    whether one of them imports torch
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.output import parser, show

COMMANDS = {"help": ("--help",), "check": ("check", "configs/quickstart.toml")}


def main() -> None:
    """Measure, after one process that is not counted (files come from disk once)."""
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=7)
    arguments = options.parse_args()
    figures = {f"{name}_s": median_seconds(command, arguments.repeats) for name, command in COMMANDS.items()}
    imported = any(imports("torch", command) for command in COMMANDS.values())
    show({**figures, "torch_imported": imported, "repeats": arguments.repeats}, as_json=arguments.json)


def median_seconds(command: tuple[str, ...], repeats: int) -> float:
    """Median duration of a `cgd` process."""
    return statistics.median([seconds(command) for _ in range(repeats + 1)][1:])


def seconds(command: tuple[str, ...]) -> float:
    """Duration of one `cgd` process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "cgd.cli", *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def imports(package: str, command: tuple[str, ...]) -> bool:
    """Whether a `cgd` process imports a package, by Python's own account."""
    traced = [sys.executable, "-X", "importtime", "-m", "cgd.cli", *command]
    account = subprocess.run(traced, check=True, capture_output=True, text=True).stderr
    modules = {line.rpartition("|")[2].strip() for line in account.splitlines()}
    assert "cgd.errors" in modules, "Python gave no account of its imports"
    return package in modules


if __name__ == "__main__":
    main()
