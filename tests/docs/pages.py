"""The documents and what stands in their fences."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "configs" / "paper" / "README.md"),
    *sorted(DOCS.rglob("*.md")),
]
RUN = "run by the tests"
"""Title of a block that is run; any other title is the name of the file that the block is."""
LANGUAGES = {"sh", "text", "toml", "json", "jsonl", "python", "pycon", "sql", "jinja"}
_FENCE = re.compile(r'^( *)```([^\n"]*?)(?: title="([^"\n]*)")?\n(.*?)^\1```$', re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """One fenced block."""

    language: str
    title: str | None
    text: str


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    found = _FENCE.findall(page.read_text(encoding="utf-8"))
    return [Block(language, title or None, text) for _, language, title, text in found]


def files(page: Path) -> dict[str, str]:
    """The files that a page shows whole, by name."""
    return {block.title: block.text for block in blocks(page) if block.title and block.title != RUN}


def write_files(page: Path, folder: Path) -> None:
    for name, text in files(page).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def commands(text: str) -> list[list[str]]:
    """The commands of a block of language `sh`, as words; the parts of a pipe are commands of their own."""
    found: list[list[str]] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        command: list[str] = []
        for word in [*shlex.split(line, comments=True), "|"]:
            if word != "|":
                command.append(word)
            elif command:
                found.append(command)
                command = []
    return found
