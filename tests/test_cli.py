"""Run with: pytest tests/test_cli.py."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cgd import cli, pipeline
from cgd.errors import StoppedError, UserError
from cgd.pipeline import RunResult
from cgd.recipe import load_recipe
from cgd.runfolder import open_run
from tests.builders import write_model

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
HEAVY = {"torch", "transformers", "trl", "peft", "accelerate", "datasets", "vllm", "ray"}
RECIPE = """
[data]
task = "jsonl"
options = { path = "train.jsonl", solution_field = "solution" }

[student]
model = "model"

[[arms]]
name = "sft"
objective = "sft"

[[evaluation.tasks]]
task = "arithmetic"
n = 3
"""
TEACHER = """
[[arms]]
name = "cgd"
objective = "cgd"

[teacher]
backend = "tutor"
"""
ROWS = [{"prompt": f"{index} + 1?", "solution": f"Answer: {index + 1}"} for index in range(3)]


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a recipe, its data and a model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CGD_CACHE", str(tmp_path / "cache"))
    write_model(tmp_path / "model")
    (tmp_path / "trial.toml").write_text(RECIPE)
    write_rows(tmp_path, *ROWS)
    return tmp_path


@pytest.fixture
def cgd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line, in this process."""

    def call(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["cgd", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Outcome(code, *capsys.readouterr())

    return call


def write_rows(folder: Path, *rows: dict[str, Any] | str) -> None:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "train.jsonl").write_text("".join(f"{line}\n" for line in lines))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_refused(outcome: Outcome, *expected: str) -> None:
    """Exit code 2, one message on stderr that says all of this, and no traceback."""
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("error: ") == 1
    assert "Traceback" not in outcome.err
    for part in expected:
        assert part in outcome.err


# What the user can mend


def test_a_missing_recipe_is_named(folder: Path, cgd: Command) -> None:
    assert_refused(cgd("run", "none.toml"), "recipe none.toml does not exist", str(folder))
    assert not (folder / "runs").exists()


OVERRIDES = {
    "an unknown key": ("training.learning_rat=1", "training.learning_rat: unknown key; did you mean 'learning_rate'?"),
    "a wrong type": ("data.n=many", "data.n: Input should be a valid integer"),
    "an unknown task": (
        "data.task=arithmetik",
        "no plug-in 'arithmetik' in tasks; allowed: aime24, amc23, arithmetic, ",
    ),
    "an unknown test task": ("evaluation.tasks.0.task=none", "no plug-in 'none' in tasks"),
    "an unknown backend": ("student.backend=hff", "no plug-in 'hff' in backends; allowed: hf, "),
    "an unknown objective": ("arms.0.objective=none", "no plug-in 'none' in objectives; allowed: cft, cgd, "),
    "a module of nobody": ("data.task=mine_none.task", "can't be imported"),
    "an unknown option": ("data.options.pth=x", "options of tasks plug-in 'jsonl' is not valid:\n  pth: unknown key"),
    "an unknown option of the student": ("student.options.batchsize=1", "batchsize: unknown key; did you mean 'batch"),
    "an arm without its teacher": ("arms.0.objective=cgd", "arms sft learn from a teacher, and the recipe has no"),
    "a missing model folder": ("student.model=./none", "no model './none': give a built-in name"),
    "a folder that is no model": ("student.model=.", "needs config.json and *.safetensors"),
    "a missing data file": ("data.options.path=none.jsonl", "can't read none.jsonl: No such file or directory"),
    "a variable that is not set": ("data.options.path=$CGD_NONE/a.jsonl", "an environment variable that is not set"),
    "too many problems": ("evaluation.tasks.0.n=1000000", "distinct test problems; got n = 1000000"),
    "a malformed --set": ("data.n", "--set 'data.n': write it as section.key=value"),
    "a name that leaves the folder": ("name=../x", "name: String should match pattern"),
    "a missing prompt file": ("critique.prompt=none.jinja", "can't read prompt file none.jinja"),
    "a faulty prompt file": ("refinement.prompt=faulty.jinja", "prompt file faulty.jinja: "),
}


@pytest.mark.parametrize("what", OVERRIDES)
def test_a_faulty_value_is_refused_before_there_is_a_run_folder(folder: Path, cgd: Command, what: str) -> None:
    override, expected = OVERRIDES[what]
    (folder / "faulty.jinja").write_text("{{ nobody_knows_this }}")
    assert_refused(cgd("run", "trial.toml", "--set", override), expected)
    assert not (folder / "runs").exists()


CHECKED = [what for what in OVERRIDES if what not in {
    "a missing model folder", "a folder that is no model", "a missing data file", "a variable that is not set",
    "too many problems",
}]  # fmt: skip


@pytest.mark.parametrize("what", CHECKED)
def test_a_check_finds_every_fault_that_the_recipe_alone_shows(folder: Path, cgd: Command, what: str) -> None:
    override, expected = OVERRIDES[what]
    (folder / "faulty.jinja").write_text("{{ nobody_knows_this }}")
    assert_refused(cgd("check", "trial.toml", "--set", override), expected)


@pytest.mark.parametrize(
    "text", ["[data\n", "name = \n", "\x00", "seed = 0\nseed = 1\n", "[data]\ntask = 'x'\n[data]\n"]
)
def test_malformed_toml_is_named_with_its_place(folder: Path, cgd: Command, text: str) -> None:
    (folder / "trial.toml").write_text(text)
    assert_refused(cgd("run", "trial.toml"), "recipe trial.toml is not valid TOML: ", "line ")
    assert not (folder / "runs").exists()


ROW_FAULTS: dict[str, tuple[list[dict[str, Any] | str], str]] = {
    "a line that is no JSON": ([ROWS[0], "", "{'prompt': 1}"], "train.jsonl:3: not JSON: "),
    "a line that is no object": ([ROWS[0], "[]"], "train.jsonl:2: each line must be a JSON object, got list"),
    "a missing prompt": ([ROWS[0], {"solution": "2"}], "train.jsonl:2: field 'prompt' must be a non-empty text; got N"),
    "a missing solution": ([ROWS[0], {"prompt": "?"}], "train.jsonl:2: field 'solution' must be a non-empty text; got"),
    "half a surrogate pair": ([{"prompt": "\ud800", "solution": "2"}], "train.jsonl:1: holds half a surrogate pair"),
    "an empty data set": ([], "train.jsonl holds no rows"),
    "nothing but blank lines": (["", " "], "train.jsonl holds no rows"),
    "a repeated prompt": ([*ROWS, ROWS[1]], "train.jsonl:4: the prompt of line 2 again; remove one of them"),
}


@pytest.mark.parametrize("what", ROW_FAULTS)
def test_a_faulty_data_set_is_refused_before_there_is_a_run_folder(folder: Path, cgd: Command, what: str) -> None:
    rows, expected = ROW_FAULTS[what]
    write_rows(folder, *rows)
    assert_refused(cgd("run", "trial.toml"), expected)
    assert not (folder / "runs").exists()


def test_a_missing_teacher_model_is_refused_before_there_is_a_run_folder(folder: Path, cgd: Command) -> None:
    (folder / "trial.toml").write_text(RECIPE + TEACHER.replace('"tutor"', '"hf"\nmodel = "./none"'))
    assert_refused(cgd("run", "trial.toml"), "no model './none'")
    assert not (folder / "runs").exists()


def test_a_missing_api_key_is_refused_before_anything_is_generated(
    folder: Path, cgd: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    server = '"openai_api"\nmodel = "m"\noptions = { base_url = "http://localhost:1/v1", api_key_env = "MY_KEY" }'
    student = '[student]\nbackend = "scripted"\noptions = { replies = { draft = "1", prediction = "1" } }'
    (folder / "trial.toml").write_text((RECIPE + TEACHER.replace('"tutor"', server)).replace("[student]", student))
    assert_refused(cgd("run", "trial.toml"), "environment variable MY_KEY (options.api_key_env) is not set")
    assert not (folder / "runs" / "trial" / "manifest.json").exists()


@pytest.fixture
def begun(folder: Path) -> Path:
    """A run folder of the recipe, as a run leaves it that was stopped early."""
    recipe = load_recipe(["trial.toml"])
    with open_run(folder / "runs" / "trial", recipe, accept_changes=False, command=["cgd"]) as run:
        run.save_manifest()
    return folder / "runs" / "trial"


def test_a_run_that_was_begun_with_another_recipe_is_refused_and_unchanged(begun: Path, cgd: Command) -> None:
    before = contents(begun)
    outcome = cgd("run", "trial.toml", "--set", "training.epochs=2")
    assert_refused(
        outcome,
        "runs/trial was begun with another recipe:",
        "training.epochs: 1.0 -> 2.0",
        "training, evaluation, report",
        "--accept-changes",
    )
    assert contents(begun) == before


def test_a_run_that_is_running_is_refused_and_unchanged(begun: Path, cgd: Command) -> None:
    with open_run(begun, load_recipe(["trial.toml"]), accept_changes=False, command=["cgd"]):
        before = contents(begun)
        assert_refused(cgd("run", "trial.toml"), f"in use by another cgd process (pid {os.getpid()})")
        assert contents(begun) == before


def test_a_report_needs_a_finished_run(folder: Path, begun: Path, cgd: Command) -> None:
    assert_refused(cgd("report", "nowhere"), "nowhere holds no finished run")
    before = contents(begun)
    assert_refused(cgd("report", "runs/trial"), "runs/trial holds no finished run")
    assert contents(begun) == before


@pytest.mark.parametrize("arguments", [["run"], ["walk"], ["run", "trial.toml", "--sett", "x=1"]])
def test_a_command_that_is_none_shows_how_it_is_used(folder: Path, cgd: Command, arguments: list[str]) -> None:
    outcome = cgd(*arguments)
    assert outcome.code == 2
    assert "Usage: cgd" in outcome.err
    assert not (folder / "runs").exists()


# What is no mistake


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.stem)
def test_every_shipped_recipe_passes_the_check(
    config: Path, cgd: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an empty folder with an empty cache: nothing is fetched or written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CGD_CACHE", str(tmp_path / "cache"))
    outcome = cgd("check", str(config))
    arms = ", ".join(arm.name for arm in load_recipe([config]).arms)
    assert outcome == Outcome(0, f"{config.stem}: valid; arms: {arms}\n", "")
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_commands_in_the_order_in_which_they_are_needed() -> None:
    done = subprocess.run([sys.executable, "-m", "cgd.cli", "--help"], capture_output=True, text=True, check=True)
    listed = re.findall(r"^(?:╭─|│) (\w+) ", done.stdout, re.MULTILINE)
    assert listed[: listed.index("eval")] == [
        "Options",
        "Begin",
        "doctor",
        "init",
        "check",
        "plan",
        "Make",
        "run",
        "train",
    ]
    assert listed.index("status") < listed.index("compare") < listed.index("export") < listed.index("grade")


def test_the_command_line_and_the_flow_leave_heavy_libraries_alone() -> None:
    code = "import sys, cgd.cli, cgd.pipeline, cgd.config\nprint(sorted(set(sys.modules) & set(sys.argv[1:])))"
    done = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_check_leaves_heavy_libraries_alone() -> None:
    code = (
        "import sys\nfrom cgd.cli import app\n"
        "app(['check', sys.argv[1]], standalone_mode=False)\nprint(sorted(set(sys.modules) & set(sys.argv[2:])))"
    )
    config = str(ROOT / "configs" / "quickstart.toml")
    done = subprocess.run([sys.executable, "-c", code, config, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def stand_in(monkeypatch: pytest.MonkeyPatch, result: RunResult | BaseException) -> None:
    """A test double in place of the pipeline."""

    def run(*_: Any, **__: Any) -> RunResult:
        if isinstance(result, BaseException):
            raise result
        return result

    monkeypatch.setattr(pipeline, "run", run)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("mend it"), 2, "error: mend it\n"),
        (StoppedError("too many failed"), 3, "error: too many failed\n"),
        (KeyboardInterrupt(), 130, "interrupted: everything generated is stored; the same command continues\n"),
    ],
)
def test_the_exit_code_says_who_is_to_act(
    folder: Path, cgd: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    stand_in(monkeypatch, error)
    assert cgd("run", "trial.toml") == Outcome(code, "", message)


def test_a_bug_keeps_its_traceback(folder: Path, cgd: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        cgd("run", "trial.toml")


def test_a_run_ends_with_the_accuracies_and_the_place_of_the_report(
    folder: Path, cgd: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.625 with the interval 0.5 to 0.75 is 62.5% [50.0, 75.0]; an arm without grades has no line."""
    summary = {
        "arms": {
            "base": {"n": 8, "strict_accuracy": 0.625, "ci95": [0.5, 0.75]},
            "sft": {"n": 0, "strict_accuracy": None, "ci95": None},
        },
        "paired": {"sft - base": {"n": 8, "difference": -0.125, "ci95": [-0.25, 0.0]}},
    }
    stand_in(monkeypatch, RunResult(Path("runs/trial"), 5, summary))
    outcome = cgd("run", "trial.toml")
    assert outcome.out.splitlines() == [
        "base          62.5%  [50.0, 75.0]  strict accuracy, n = 8",
        "sft - base   -12.5%  [-25.0, 0.0]  paired difference, n = 8",
        "done: runs/trial/report/index.html",
    ]
    printed = json.loads(cgd("run", "trial.toml", "--json").out)
    assert printed == {"folder": "runs/trial", "made": 5, "summary": summary}
    stand_in(monkeypatch, RunResult(Path("runs/trial"), 0, summary))
    assert "nothing to do: runs/trial is complete (runs/trial/report/index.html)" in cgd("run", "trial.toml").out
