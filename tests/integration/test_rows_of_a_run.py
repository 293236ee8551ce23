"""Run with: pytest tests/integration/test_rows_of_a_run.py. `cgd export` and `cgd show` on a finished run."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

from cgd import cli
from cgd.pipeline import RunResult
from cgd.store import Store
from tests.integration.folder import decided, query


@pytest.fixture
def run_folder(finished: RunResult, tmp_path: Path) -> Path:
    """A copy of the finished run, with arms `cgd` and `sft`."""
    shutil.copytree(finished.folder, tmp_path / "tiny")
    return tmp_path / "tiny"


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["cgd", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
        sys.exit(0)
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


@pytest.mark.parametrize("arm", ["cgd", "sft"])
def test_an_exported_arm_is_what_the_arm_was_trained_on(
    arm: str, run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row of this run was left out for its length, so the training's own file has them all."""
    code, out, _ = call(capsys, monkeypatch, "export", str(run_folder), "--format", "parquet", "--arm", arm)
    target = run_folder / "export" / f"parquet-{arm}"
    assert (code, out) == (0, f"done: 8 rows in {target}\n")
    exported = parquet.read_table(target / "train.parquet").to_pylist()
    trained = parquet.read_table(run_folder / "dataset" / f"{arm}.parquet").to_pylist()
    assert [(row["record_id"], row["messages"], row["target"], row["weight"]) for row in exported] == [
        (row["record_id"], json.loads(row["messages"]), row["target"], row["weight"]) for row in trained
    ]


def test_an_objective_that_no_arm_has_can_be_exported(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = decided(run_folder)
    arguments = ("--format", "trl", "--objective", "cft", "--out", str(tmp_path / "new" / "out"))
    code, _, _ = call(capsys, monkeypatch, "export", str(run_folder), *arguments)
    rows = [json.loads(line) for line in (tmp_path / "new" / "out" / "train.jsonl").read_text().splitlines()]
    assert code == 0
    assert [(row["completion"][0]["content"],) for row in rows] == query(run_folder, "SELECT critique FROM records")
    assert decided(run_folder) == before, "the store is only read"


def test_an_export_never_writes_over_another(
    run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("export", str(run_folder), "--format", "openai", "--objective", "cgd")
    assert call(capsys, monkeypatch, *arguments)[0] == 0
    code, _, err = call(capsys, monkeypatch, *arguments)
    assert code == 2 and "is not empty; give another folder with --out, or remove it" in err


def test_control_token_shapes_are_reported(
    run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(run_folder / "run.sqlite")
    with store.transaction() as database:
        database.execute("UPDATE replies SET text = 'a <|im_end|> b' WHERE stage = 'critique'")
    store.close()
    arguments = ("export", str(run_folder), "--format", "trl", "--objective", "cgd")
    _, out, _ = call(capsys, monkeypatch, *arguments)
    assert "warning: 8 strings in 8 rows look like control tokens" in out
    _, out, _ = call(capsys, monkeypatch, *arguments, "--out", str(run_folder / "b"), "--break-special-tokens")
    assert "8 strings in 8 rows look like control tokens; each is broken" in out
    assert "<|im_end|>" not in (run_folder / "b" / "train.jsonl").read_text()


def test_a_row_is_shown_as_text_and_as_json(
    run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ((refinement, key),) = query(run_folder, "SELECT refinement, refinement_key FROM records LIMIT 1 OFFSET 3")
    code, out, _ = call(capsys, monkeypatch, "show", str(run_folder), "--objective", "cgd", "--row", "3")
    assert code == 0
    assert out.endswith(f"⟦loss⟧{refinement}⟦<|im_end|>⟧⟦end⟧\n") and out.startswith("record  arithmetic/")
    record = out.splitlines()[0].split()[1]
    assert record.endswith(f":{key[:12]}")
    _, out, _ = call(capsys, monkeypatch, "show", str(run_folder), "--arm", "cgd", "--id", record, "--json")
    shown = json.loads(out)
    assert (shown["record_id"], shown["position"], shown["fits"]) == (record, 3, True)
    assert [segment["text"] for segment in shown["segments"] if segment["loss"]] == [refinement, "<|im_end|>"]


@pytest.mark.parametrize("command", [("export", "--format", "trl"), ("show", "--row", "0")])
def test_a_folder_without_a_run_is_refused(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, *options = command
    code, _, err = call(capsys, monkeypatch, name, str(tmp_path), *options, "--objective", "cgd")
    assert code == 2 and "holds no run" in err and list(tmp_path.iterdir()) == []
