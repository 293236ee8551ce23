"""Run with: pytest tests/integration/test_api.py. The library on a finished run, its page and its notebook."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cgd
from cgd import pipeline
from cgd.pipeline import RunResult
from cgd.store import Store
from tests.integration.folder import REPOSITORY, decided, query

NOTEBOOK = REPOSITORY / "docs" / "notebook" / "quickstart.ipynb"
HEAVY = {"torch", "transformers", "datasets", "pandas", "numpy", "pydantic", "aiohttp"}


@pytest.fixture
def run(finished: RunResult) -> cgd.Run:
    return cgd.Run(finished.folder)


def test_the_import_alone_loads_nothing() -> None:
    code = "import sys, cgd\nprint(sorted(set(sys.modules) & set(sys.argv[1:])))"
    done = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_public_name_is_there_and_no_other() -> None:
    assert dir(cgd) == cgd.__all__ == sorted(cgd.__all__)
    assert all(getattr(cgd, name).__name__ == name for name in cgd.__all__)
    with pytest.raises(AttributeError, match="no attribute 'train'; its public names: Recipe, Run, "):
        _ = cgd.train


def test_records_are_those_of_the_store(run: cgd.Run) -> None:
    parts = [(row["prompt_id"], row["draft"], row["critique"], row["refinement"]) for row in run.records()]
    assert parts == query(run.folder, "SELECT prompt_id, draft, critique, refinement FROM records")
    assert len(parts) == 8


def test_predictions_have_their_verdicts(run: cgd.Run) -> None:
    rows = run.predictions()
    assert [(row["arm"], row["text"]) for row in rows] == query(run.folder, "SELECT arm, text FROM predictions")
    assert {type(row["strict"]) for row in rows} == {bool}
    assert rows[0]["prompt"][-1]["role"] == "user"


def test_rows_have_the_shapes_of_other_tools(run: cgd.Run) -> None:
    records = run.records()
    assert records.to_dataset().to_list() == records
    assert list(records.to_frame()["draft"]) == [row["draft"] for row in records]


def test_a_run_tells_what_its_folder_holds(run: cgd.Run, finished: RunResult) -> None:
    assert run.summary == json.loads(json.dumps(finished.summary))
    assert run.analysis == {}
    assert run.recipe.name == "tiny"
    assert run.report.is_file()
    assert list(run.checkpoints) == [("cgd", 0), ("sft", 0)]
    assert all((place / "model.safetensors").is_file() for place in run.checkpoints.values())


def test_reading_changes_nothing(run: cgd.Run) -> None:
    before = decided(run.folder)
    run.records(), run.predictions(), run.checkpoints  # noqa: B018 - they are read
    assert decided(run.folder) == before


def test_a_run_that_has_only_begun_is_empty(tmp_path: Path) -> None:
    Store(tmp_path / "run.sqlite").close()
    begun = cgd.Run(tmp_path)
    assert (begun.summary, begun.checkpoints, begun.predictions()) == ({}, {}, [])
    with pytest.raises(cgd.UserError, match=r"holds no manifest\.json"):
        begun.records()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(cgd.UserError, match="holds no run"):
        cgd.Run(tmp_path)
    with pytest.raises(cgd.UserError, match="at least one TOML file"):
        cgd.load_recipe()


def test_a_missing_package_is_named(run: cgd.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    records = run.records()
    for package, method in (("pandas", records.to_frame), ("datasets", records.to_dataset)):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(cgd.UserError, match=f"needs the package {package}: pip install"):
            method()


def test_the_same_call_goes_on_with_a_run(recipe_file: Path, finished: RunResult) -> None:
    again = cgd.run(cgd.load_recipe(recipe_file), finished.folder.parent)
    assert again.folder == finished.folder


def test_the_examples_of_the_page_are_right(
    finished: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finished run stands in for that of the quickstart."""

    def run(*_: Any, **__: Any) -> RunResult:
        return RunResult(Path("runs/quickstart"), 0, {})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "run", run)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "quickstart").symlink_to(finished.folder)
    (tmp_path / "configs").symlink_to(REPOSITORY / "configs")
    text = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8").replace("```\n", "\n")
    page = doctest.DocTestParser().get_doctest(text, {}, "api.md", None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    assert runner.run(page) == (0, 14)


def test_the_notebook_runs(student: Path, tmp_path: Path) -> None:
    """Its code cells, one after another in a plain interpreter, with a random-weight student."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in notebook["cells"]), "outputs are whoever runs it's own"
    script = "\n\n".join(cells).replace("smollm2-135m-instruct", str(student))
    assert script.count(str(student)) == 1
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--- critique" in done.stdout
    assert sorted(path.name for path in (tmp_path / "runs" / "tiny" / "checkpoints").iterdir()) == [
        "cgd",
        "distilled_sft",
    ]
