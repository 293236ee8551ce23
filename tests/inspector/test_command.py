"""The command as a user calls it. Run with: pytest tests/inspector/test_command.py."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from cgd import cli
from cgd.store import Store
from tests.builders import make_manifest, make_recipe
from tests.inspector.made_run import fill_run


def write_run(folder: Path, store: Store) -> None:
    fill_run(store)
    with store.transaction() as db:
        db.execute("DELETE FROM scores")
    manifest = {**make_manifest(), "recipe": make_recipe().model_dump(mode="json")}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["cgd", "inspect", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0), capsys.readouterr().err


def test_a_run_is_served_until_the_user_ends_it(tmp_path: Path, store: Store) -> None:
    write_run(tmp_path, store)
    arguments = [sys.executable, "-m", "cgd.cli", "inspect", str(tmp_path), "--port", "0"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
    assert process.stdout is not None
    address = process.stdout.readline().split()[0]
    with urllib.request.urlopen(address) as page:
        assert page.status == 200
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in complaints) == (0, False)


def test_a_folder_without_a_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, message = call(monkeypatch, capsys, str(tmp_path))
    assert (code, "begin the run with cgd run" in message) == (2, True)


def test_a_missing_datasette_is_said_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "datasette", None)
    code, message = call(monkeypatch, capsys, str(tmp_path))
    assert (code, "pip install 'cgd[inspect]'" in message) == (2, True)
