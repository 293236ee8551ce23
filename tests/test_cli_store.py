"""The commands that read a run's store. Run with: pytest tests/test_cli_store.py."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Timer

import pytest

from cgd import cli
from cgd.runfolder import hold
from cgd.store import Store
from tests.builders import add_records, make_prompts


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Two prompts; the draft of the second one failed, with markup in nothing but its prompt."""
    store = Store(tmp_path / "run.sqlite")
    add_records(store, make_prompts(["1 + 1?", "[red]2 + 2?[/red]"]), [("d", "c", "r"), (None,)])
    store.close()
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["cgd", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
        sys.exit(0)
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def test_status_shows_a_line_a_stage(
    run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = call(capsys, monkeypatch, "status", str(run_folder))
    assert code == 0
    draft = next(line.split() for line in out.splitlines() if line.startswith("draft"))
    assert draft == ["draft", "0", "2", "1", "0", "1", "0", "10"], (
        "seed, asked, done, truncated, failed, missing, tokens"
    )


def test_status_lists_failed_rows_as_json(
    run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = call(capsys, monkeypatch, "status", str(run_folder), "--failed", "--json")
    (row,) = json.loads(out)["failed"]
    assert (code, row["stage"], row["error_class"], row["attempts"]) == (0, "draft", "Timeout", 1)


def test_status_says_whether_a_process_is_at_work(
    run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold(run_folder):
        _, running, _ = call(capsys, monkeypatch, "status", str(run_folder), "--json")
    _, stopped, _ = call(capsys, monkeypatch, "status", str(run_folder))
    assert json.loads(running)["state"] == "running"
    assert stopped.startswith(f"{run_folder.name}: stopped; the same cgd run goes on\n")


def test_a_watched_status_ends_with_the_run(
    run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is held for two seconds of the watch; its last state is printed once, for there is no terminal."""
    began = time.monotonic()
    with ExitStack() as held:
        held.enter_context(hold(run_folder))
        timer = Timer(2.0, held.pop_all().close)
        timer.start()
        code, out, _ = call(capsys, monkeypatch, "status", str(run_folder), "--watch")
        timer.join()
    assert (code, out.count("stopped"), out.count("running")) == (0, 1, 0)
    assert time.monotonic() - began >= 2.0


@pytest.mark.parametrize("other", ["--failed", "--json"])
def test_a_watched_status_is_a_table_for_people(
    other: str, run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = call(capsys, monkeypatch, "status", str(run_folder), "--watch", other)
    assert (code, "--watch" in err) == (2, True)


@pytest.mark.parametrize("command", ["status", "reparse"])
def test_a_folder_without_a_run_is_refused_and_stays_empty(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = call(capsys, monkeypatch, command, str(tmp_path))
    assert (code, err.startswith("error: ")) == (2, True)
    assert "holds no run" in err
    assert list(tmp_path.iterdir()) == []


def test_reparse_says_what_changed(
    run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = call(capsys, monkeypatch, "reparse", str(run_folder))
    assert (code, out) == (0, "changed: 0 (failed rows recovered: 0, texts lost: 0)\n")


def test_reparse_keeps_off_a_run_that_is_running(
    run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold(run_folder):
        code, _, err = call(capsys, monkeypatch, "reparse", str(run_folder))
    assert code == 2
    assert "is in use by another cgd process" in err
