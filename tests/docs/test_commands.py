"""Every command of the documents is run, or parsed by the command line it is for. Run with: pytest tests/docs."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.docs.conftest import Desk
from tests.docs.pages import LANGUAGES, PAGES, ROOT, RUN, blocks, commands, name_of, write_files
from tests.docs.parsing import CGD, check

RUNNING = [page for page in PAGES if any(block.title == RUN for block in blocks(page))]
_COMMAND = re.compile(r"^(\$ )?(cgd [a-z]|make [a-z]|python -m |pip install )", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_fence_names_its_language(page: Path) -> None:
    assert [block for block in blocks(page) if block.language not in LANGUAGES] == []
    fences = re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(blocks(page)), "a fence of another form"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_command_hides_in_a_fence_that_is_not_checked(page: Path) -> None:
    others = [block for block in blocks(page) if block.language != "sh"]
    assert [block.text for block in others if _COMMAND.search(block.text)] == []
    assert {block.language for block in others if block.title == RUN} <= {"sql"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_is_one_that_its_program_takes(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recipes that it names are the page's own, or shipped, and valid."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    write_files(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for block in blocks(page):
        if block.language == "sh" and block.title != RUN:
            for words in commands(block.text):
                check(words)


@pytest.mark.parametrize("page", RUNNING, ids=name_of)
def test_the_blocks_that_are_said_to_be_run_end_well(page: Path, desk: Desk) -> None:
    write_files(page, desk.folder)
    for block in blocks(page):
        if block.title == RUN and block.language == "sql":
            with closing(sqlite3.connect(desk.folder / "runs" / "quickstart" / "run.sqlite")) as database:
                assert database.execute(block.text).fetchone()
        elif block.title == RUN:
            desk.run(block.text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_options_named_in_prose_exist(page: Path) -> None:
    prose = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for name, rest in re.findall(r"`cgd ([a-z]+)\b([^`]*)`", prose):
        known = {option for parameter in CGD[name].params for option in parameter.opts} | {"--help"}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= known, f"cgd {name}{rest}"
