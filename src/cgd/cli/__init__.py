"""The command line. Exit codes: 0 done, 1 bug, 2 the user's mistake, 3 stopped but resumable, 130 interrupted."""

from __future__ import annotations

import sys

from cgd.cli import (  # noqa: F401 - their commands join the application
    analyze,
    card,
    compare,
    doctor,
    evaluate,
    grade,
    init,
    inspect,
    rows,
    runs,
    status,
)
from cgd.cli.shared import app
from cgd.errors import CgdError

__all__ = ["app", "main"]

_PANELS = {
    "Begin": ("doctor", "init", "check", "plan"),
    "Make": ("run", "train", "eval", "analyze"),
    "Look": ("status", "show", "inspect", "report", "compare"),
    "Hand on": ("export", "card"),
    "Grade": ("grade", "reparse"),
}


def _arrange() -> None:
    """Commands in the order in which they are needed, whatever the order of their modules."""
    panels = [(panel, name) for panel, names in _PANELS.items() for name in names]
    commands = {
        command.name or getattr(command.callback, "__name__", ""): command for command in app.registered_commands
    }
    for panel, name in panels:
        commands[name].rich_help_panel = panel
    app.registered_commands[:] = [commands.pop(name) for _, name in panels]
    assert not commands, f"commands without a panel: {list(commands)}"


_arrange()


def main() -> None:
    """Entry point: an error of the user's prints its message, a bug keeps its traceback."""
    try:
        app(prog_name="cgd")
    except CgdError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as end:
        if end.code == 130:  # typer's own answer to an interrupt, which says nothing
            print("interrupted: everything generated is stored; the same command continues", file=sys.stderr)
        raise
