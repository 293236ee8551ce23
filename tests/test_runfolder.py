"""Run with: pytest tests/test_runfolder.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cgd import runfolder
from cgd.config import Recipe
from cgd.errors import UserError
from cgd.runfolder import SUMMARY_FORMAT, RunFolder, command_line, open_run, read_json, read_summary
from tests.builders import make_prompts, make_recipe

ROOT = Path(__file__).parents[1]
COMMAND = ("cgd", "run", "trial.toml")


def begin(path: Path, recipe: Recipe | None = None, *, accept_changes: bool = False) -> RunFolder:
    """Begin a run, or open it again, and close it."""
    with open_run(path, recipe or make_recipe(), accept_changes=accept_changes, command=COMMAND) as folder:
        folder.save_manifest()
        return folder


def complaint(path: Path, recipe: Recipe | None = None) -> str:
    with pytest.raises(UserError) as caught:
        begin(path, recipe)
    return str(caught.value)


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


# Beginning and going on


def test_a_run_that_is_refused_before_its_manifest_is_saved_can_begin_anew_with_another_recipe(tmp_path: Path) -> None:
    with open_run(tmp_path, make_recipe(), accept_changes=False, command=COMMAND):
        pass
    begin(tmp_path, make_recipe(seed=1))
    assert "seed: 1 -> 0" in complaint(tmp_path)


def test_a_run_begins_with_a_store_and_a_manifest_that_holds_the_whole_recipe(tmp_path: Path) -> None:
    recipe = make_recipe(seed=3)
    begin(tmp_path / "runs" / "trial", recipe)
    manifest = read_json(tmp_path / "runs" / "trial" / "manifest.json")
    assert manifest is not None
    assert Recipe.model_validate(manifest["recipe"]) == recipe
    assert (manifest["name"], manifest["command"]) == ("trial", "cgd run trial.toml")
    assert manifest["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(manifest["versions"]) >= {"numpy", "scipy", "math-verify"}
    assert sorted(manifest["prompt_hashes"]) == ["control.jinja", "critique.jinja", "refinement.jinja", "student.jinja"]
    assert (tmp_path / "runs" / "trial" / "run.sqlite").is_file()


def test_the_same_recipe_goes_on_with_what_is_there(tmp_path: Path) -> None:
    with open_run(tmp_path, make_recipe(), accept_changes=False, command=COMMAND) as folder:
        folder.store.add_prompts(make_prompts(["1 + 1?"]))
        folder.save_manifest()
        before = (tmp_path / "manifest.json").read_bytes()
    with open_run(tmp_path, make_recipe(), accept_changes=False, command=("other",)) as folder:
        assert folder.store.query("SELECT count(*) FROM prompts")[0][0] == 1
        assert folder.manifest["command"] == "cgd run trial.toml"
        folder.save_manifest()
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_the_manifest_knows_the_users_own_prompt_files(tmp_path: Path) -> None:
    own = tmp_path / "own.jinja"
    own.write_text("{{ draft }}")
    folder = begin(tmp_path / "run", make_recipe(critique={"prompt": str(own)}))
    assert str(own) in folder.manifest["prompt_hashes"]


def test_a_run_outside_of_a_repository_has_no_git_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert begin(tmp_path / "run").manifest["git"] is None


def test_a_run_in_a_repository_knows_commit_and_cleanliness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "code").mkdir()
    monkeypatch.chdir(tmp_path / "code")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "--quiet"], [*who, "commit", "--quiet", "--allow-empty", "--message", "first"]):
        subprocess.run(["git", *arguments], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert begin(tmp_path / "run").manifest["git"] == {"commit": commit, "dirty": False}
    (tmp_path / "code" / "new.py").touch()
    assert begin(tmp_path / "other").manifest["git"] == {"commit": commit, "dirty": True}


def test_every_arm_and_seed_has_its_own_place(tmp_path: Path) -> None:
    folder = begin(tmp_path)
    assert folder.checkpoint("cgd", 3) == tmp_path / "checkpoints" / "cgd" / "seed3"
    assert folder.dataset("cgd") == tmp_path / "dataset" / "cgd.parquet"


def test_the_command_is_remembered_by_its_bare_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/cgd", "run", "a.toml", "--set", "data.n=5"])
    assert command_line() == ["cgd", "run", "a.toml", "--set", "data.n=5"]


# The lock


def test_a_run_that_is_open_can_not_be_opened_again_and_its_process_is_named(tmp_path: Path) -> None:
    with open_run(tmp_path, make_recipe(), accept_changes=False, command=COMMAND):
        assert f"{tmp_path} is in use by another cgd process (pid {os.getpid()})" in complaint(tmp_path)
        assert f"(pid {os.getpid()})" in complaint(tmp_path), "a refused opening must not take the owner's name away"
    begin(tmp_path)


def test_the_lock_of_another_process_holds_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom cgd.runfolder import open_run\n"
        "from tests.builders import make_recipe\n"
        "with open_run(Path(sys.argv[1]), make_recipe(), accept_changes=False, command=()):\n"
        "    print('open', flush=True)\n    time.sleep(60)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "open\n"
    before = contents(tmp_path)
    assert f"(pid {other.pid})" in complaint(tmp_path)
    assert contents(tmp_path) == before
    other.kill()
    other.wait()
    other.stdout.close()
    begin(tmp_path)


def test_the_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    def open_and_break() -> None:
        with open_run(tmp_path, make_recipe(), accept_changes=False, command=COMMAND):
            raise RuntimeError("a stage broke")

    with pytest.raises(RuntimeError):
        open_and_break()
    begin(tmp_path)


# A recipe that changed


def test_a_changed_recipe_is_refused_with_the_keys_their_values_and_the_stages(tmp_path: Path) -> None:
    begin(tmp_path, make_recipe(critique={"max_tokens": 64}))
    before = contents(tmp_path)
    changed = make_recipe(critique={"max_tokens": 128}, training={"seeds": [0, 1]})
    assert complaint(tmp_path, changed).splitlines() == [
        f"{tmp_path} was begun with another recipe:",
        "  critique.max_tokens: 64 -> 128",
        "  training.seeds.1: absent -> 1",
        "Stages that work again where their inputs changed: critique, refinement, teacher_answer, training, "
        "evaluation, report. "
        "Rows already stored stay.",
        "Go on with --accept-changes, or give the recipe another name.",
    ]
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({"seed": 1}, "data, draft, critique, refinement, teacher_answer, training, evaluation, report"),
        (
            {"data": {"task": "arithmetic", "n": 9}},
            "data, draft, critique, refinement, teacher_answer, training, evaluation, report",
        ),
        ({"student": {"model": "other"}}, "draft, critique, refinement, teacher_answer, training, evaluation, report"),
        ({"teacher": {"backend": "tutor"}}, "critique, refinement, teacher_answer, training, evaluation, report"),
        ({"refinement": {"max_tokens": 9}}, "refinement, teacher_answer, training, evaluation, report"),
        ({"arms": [{"name": "cft", "objective": "cft"}]}, "training, evaluation, report"),
        ({"training": {"epochs": 2}}, "training, evaluation, report"),
        ({"evaluation": {"max_tokens": 9}}, "evaluation, report"),
        ({"report": {"examples": 1}}, "report"),
        ({"report": {"examples": 1}, "training": {"epochs": 2}}, "training, evaluation, report"),
    ],
)
def test_a_change_redoes_the_stages_from_the_first_that_reads_it(
    tmp_path: Path, changes: dict[str, Any], stages: str
) -> None:
    begin(tmp_path)
    assert f"inputs changed: {stages}. Rows" in complaint(tmp_path, make_recipe(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"max_failed_share": 0.5},
        {"budget": {"tokens": 10}},
        {"student": {"model": "m", "price": {"input": 1, "output": 2}}},
    ],
)
def test_what_may_be_spent_or_borne_changes_without_consent(tmp_path: Path, changes: dict[str, Any]) -> None:
    before = make_recipe(student={"model": "m"})
    with open_run(tmp_path / "trial", before, accept_changes=False, command=()) as folder:
        folder.save_manifest()
    after = make_recipe(**({"student": {"model": "m"}} | changes))
    with open_run(tmp_path / "trial", after, accept_changes=False, command=()) as folder:
        assert folder.manifest["recipe"] == after.model_dump(mode="json")


def test_every_section_of_a_recipe_has_a_first_stage() -> None:
    """A section that were forgotten here would be said to redo everything."""
    assert set(runfolder._REDONE_FROM) == set(Recipe.model_fields) - {"name", *runfolder._FREE}
    assert set(runfolder._REDONE_FROM.values()) - {None} <= set(runfolder._STAGES)


@pytest.mark.parametrize(("max_tokens", "changes"), [(512, False), (64, True)])
def test_a_key_that_has_come_since_is_a_change_where_it_is_not_at_its_default(
    tmp_path: Path, max_tokens: int, changes: bool
) -> None:
    begin(tmp_path)
    manifest = read_json(tmp_path / "manifest.json")
    assert manifest is not None and manifest["recipe"]["evaluation"].pop("max_tokens") == 512
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    recipe = make_recipe(evaluation={"max_tokens": max_tokens})
    if changes:
        assert "evaluation.max_tokens: 512 -> 64" in complaint(tmp_path, recipe)
    else:
        begin(tmp_path, recipe)


def test_accepted_changes_are_saved_and_the_rows_stay(tmp_path: Path) -> None:
    with open_run(tmp_path, make_recipe(), accept_changes=False, command=COMMAND) as folder:
        folder.store.add_prompts(make_prompts(["1 + 1?"]))
        with folder.timed("draft"):
            pass
        folder.save_manifest()
    changed = make_recipe(seed=1)
    begin(tmp_path, changed, accept_changes=True)
    folder = begin(tmp_path, changed)
    assert Recipe.model_validate(folder.manifest["recipe"]) == changed
    assert "draft" in folder.manifest["durations_s"]
    with open_run(tmp_path, changed, accept_changes=False, command=COMMAND) as opened:
        assert opened.store.query("SELECT count(*) FROM prompts")[0][0] == 1
    assert "seed: 1 -> 0" in complaint(tmp_path)


def test_a_manifest_that_is_no_json_is_named(tmp_path: Path) -> None:
    begin(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    assert str(tmp_path / "manifest.json") in complaint(tmp_path)


# Files


def test_a_json_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    with open_run(tmp_path, make_recipe(), accept_changes=False, command=COMMAND) as folder:
        folder.write_json("summary.json", {"über": 1})
        before = (tmp_path / "summary.json").read_text(encoding="utf-8")
        with pytest.raises(TypeError):
            folder.write_json("summary.json", {"a": 1, "b": object()})
        assert (tmp_path / "summary.json").read_text(encoding="utf-8") == before == '{\n  "über": 1\n}\n'


def test_who_reads_a_file_while_it_is_written_reads_the_whole_old_one(tmp_path: Path) -> None:
    with open_run(tmp_path, make_recipe(), accept_changes=False, command=COMMAND) as folder:
        folder.write_json("summary.json", {"a": 1})
        with (tmp_path / "summary.json").open(encoding="utf-8") as reader:
            folder.write_json("summary.json", {"b": 2})
            assert json.load(reader) == {"a": 1}
        assert read_json(tmp_path / "summary.json") == {"b": 2}
        assert not list(tmp_path.glob("*.partial"))


def test_a_write_that_is_cut_off_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_the_disk(self: Path, text: str, **options: str) -> int:
        with self.open("w", encoding="utf-8") as half:
            half.write(text[:3])
        raise OSError(28, "No space left on device")

    with open_run(tmp_path, make_recipe(), accept_changes=False, command=COMMAND) as folder:
        folder.write_json("summary.json", {"a": 1})
        monkeypatch.setattr(Path, "write_text", fill_the_disk)
        with pytest.raises(OSError, match="No space"):
            folder.write_json("summary.json", {"a": 2})
        assert read_json(tmp_path / "summary.json") == {"a": 1}


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_json(tmp_path / "none.json") is None


def test_the_time_of_a_stage_is_added_up_even_where_it_broke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.5 s, then 2.0 s that end in an error: 3.5 s."""
    ticks = iter([0.0, 1.5, 10.0, 12.0])
    with open_run(tmp_path, make_recipe(), accept_changes=False, command=COMMAND) as folder:
        monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
        with folder.timed("draft"):
            pass
        with pytest.raises(ValueError, match="broke"), folder.timed("draft"):
            raise ValueError("broke")
        monkeypatch.undo()
        assert folder.manifest["durations_s"] == {"draft": 3.5}


def test_a_summary_of_another_version_is_named_with_what_mends_it(tmp_path: Path) -> None:
    assert read_summary(tmp_path) is None
    (tmp_path / "summary.json").write_text('{"tasks": {}}')
    with pytest.raises(UserError, match=r"summary\.json has format None, this cgd reads \d+; cgd run with the run's"):
        read_summary(tmp_path)
    (tmp_path / "summary.json").write_text(json.dumps({"format": SUMMARY_FORMAT}))
    assert read_summary(tmp_path) == {"format": SUMMARY_FORMAT}
