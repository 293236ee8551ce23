"""`cgd run RECIPE --until refinement` in a process of its own, against a server, and what its store then holds."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from benchmarks.asking import asked_for
from cgd.config import Sampling
from cgd.records import Prompt, Record, Request
from cgd.text import break_special_tokens

STAGES = ("draft", "critique", "refinement")
NAME = "durability"
RECIPE = """\
name = "durability"
max_failed_share = 1.0
[data]
task = "arithmetic"
n = {prompts}
[student]
backend = "openai_api"
model = "{student}"
options = {options}
[teacher]
backend = "openai_api"
model = "teacher"
options = {options}
[[arms]]
name = "cgd"
objective = "cgd"
"""


class Row(NamedTuple):
    """A stored reply."""

    state: str
    text: str | None


class Stored(NamedTuple):
    """What a run's store holds: rows by key, the keys that each stage asks for, and each row's name at the server."""

    rows: dict[str, Row]
    current: dict[str, list[str]]
    names: dict[str, str]

    @property
    def committed(self) -> dict[str, Row]:
        """Rows that are paid for: a failed one may be asked again."""
        return {key: row for key, row in self.rows.items() if row.state != "failed"}

    def stage(self) -> str:
        """The stage the run is in: the first one of which something is missing."""
        for stage in STAGES:
            keys = self.current.get(stage, [])
            if not keys or any(key not in self.rows for key in keys):
                return stage
        return STAGES[-1]


def write_recipe(folder: Path, url: str, prompts: int, timeout_s: float = 60.0, tries: int = 5) -> Path:
    """A recipe whose student and teacher are both that server; nothing loads the student's weights."""
    student = folder / "student"
    student.mkdir(exist_ok=True)
    (student / "config.json").write_text('{"max_position_embeddings": 4096}')
    (student / "model.safetensors").write_bytes(b"")
    options = f'{{ base_url = "{url}", concurrency = 16, timeout_s = {timeout_s}, tries = {tries} }}'
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(prompts=prompts, student=student, options=options))
    return path


class Ended(NamedTuple):
    """How a run ended (None where it was killed), how long it lasted once begun, and the end of what it printed."""

    exit_code: int | None
    seconds: float
    output: str


def run(recipe: Path, runs: Path, begun: Callable[[], bool] = lambda: True, kill_after_s: float | None = None) -> Ended:
    """Run the recipe, and kill it with SIGKILL so many seconds after it has begun, if it is not done by then."""
    command = [sys.executable, "-m", "cgd.cli", "run", str(recipe), "--runs", str(runs), "--until", "refinement"]
    with tempfile.TemporaryFile("w+") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        while process.poll() is None and not begun():
            time.sleep(0.005)
        started = time.monotonic()
        try:
            exit_code = process.wait(kill_after_s)
        except subprocess.TimeoutExpired:
            process.kill()
            exit_code = None
        seconds = time.monotonic() - started
        output.seek(0)
        return Ended(exit_code, seconds, output.read()[-4000:])


def stored(runs: Path) -> Stored:
    """The rows of the run; nothing where its store has no tables yet."""
    path = runs / NAME / "run.sqlite"
    if not path.is_file():
        return Stored({}, {}, {})
    with closing(sqlite3.connect(path)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'replies'").fetchall():
            return Stored({}, {}, {})
        replies = database.execute("SELECT key, state, text, messages FROM replies").fetchall()
        asked = database.execute("SELECT stage, key FROM current ORDER BY stage, position").fetchall()
    rows = {key: Row(state, text) for key, state, text, _ in replies}
    names = {key: name_at_server(key, messages) for key, _, _, messages in replies}
    current: dict[str, list[str]] = {}
    for stage, key in asked:
        current.setdefault(stage, []).append(key)
    return Stored(rows, current, names)


def name_at_server(key: str, messages: str) -> str:
    """How the server knows a stored request, whose messages are sent without strings like control tokens."""
    sent = [{**message, "content": break_special_tokens(message["content"])[0]} for message in json.loads(messages)]
    return asked_for(sent, Request(key, "draft", Record(Prompt("", ())), (), Sampling()).seed)
