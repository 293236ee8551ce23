"""A served run and a page of a real Chromium."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cgd.inspector.server import listen
from cgd.store import Store
from tests.inspector.made_run import index_run

CHROMIUM = shutil.which("chromium")
Serve = Callable[[Callable[[Store], object]], str]

_SERVER = """
import socket, sys
from pathlib import Path
from cgd.inspector.server import serve
serve(Path(sys.argv[1]), {}, socket.socket(fileno=int(sys.argv[2])))
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Fill a run, serve it in a process of its own; the value is its address."""
    processes = []

    def started(fill: Callable[[Store], object]) -> str:
        with closing(Store(tmp_path / "run.sqlite")) as store:
            fill(store)
        index_run(tmp_path)
        with listen(0) as listening:
            command = [sys.executable, "-c", _SERVER, str(tmp_path), str(listening.fileno())]
            processes.append(subprocess.Popen(command, pass_fds=[listening.fileno()]))
            return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield started
    for process in processes:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@contextmanager
def watched(browser: Any, **options: Any) -> Iterator[tuple[Any, list[str]]]:
    """A page, and what its console complains of."""
    complaints: list[str] = []
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    yield page, complaints
    context.close()
