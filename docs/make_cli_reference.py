"""Writes docs/cli.md from the command line itself: `python docs/make_cli_reference.py`."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import typer.main
from typer.cli import get_docs_for_click

from cgd.cli import app

HEAD = """# Command line reference

Generated from the commands in `cgd/cli/` by `python docs/make_cli_reference.py`. `cgd COMMAND --help` says the same.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a bug of `cgd`, with its traceback |
| 2 | a mistake of the user's, with one message that says how to mend it; or a problem that `cgd doctor` found |
| 3 | stopped with everything stored (a spent budget, too many failed rows, a full disk): the same command goes on |
| 130 | interrupted with everything stored: the same command goes on |

Messages go to standard error, results to standard output. What each message asks for is in the [FAQ](faq.md).
"""
_METAVAR = re.compile(r"\{(\w+)(?:\.\.\.)?\}")
_USAGE = re.compile(r"^\*\*Usage\*\*:\n\n```console\n\$ (.*)\n```$", re.MULTILINE)
_EXAMPLE = re.compile(r"^Example: (.*)$", re.MULTILINE)


def reference() -> str:
    """The whole page as Markdown."""
    return "\n".join([HEAD, *_commands()]).rstrip() + "\n"


def _commands() -> Iterator[str]:
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="cgd")
    for name in sorted(group.commands):  # type: ignore[attr-defined]
        command = group.commands[name]  # type: ignore[attr-defined]
        page = html.unescape(get_docs_for_click(obj=command, ctx=context, indent=1, call_prefix="cgd"))
        page = _USAGE.sub(r"Usage: `\1`", _EXAMPLE.sub(r"```sh\n\1\n```", page))
        page = _METAVAR.sub(lambda found: found[1].upper(), page)
        yield re.sub(r"^\*\*(\w+)\*\*:$", r"\1:", page, flags=re.MULTILINE)


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(reference(), encoding="utf-8")
