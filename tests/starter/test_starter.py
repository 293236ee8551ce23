"""Run with: pytest tests/starter/test_starter.py."""

from __future__ import annotations

import itertools
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cgd import starter
from cgd.cli import app
from cgd.errors import UserError
from cgd.machine import Gpu
from cgd.starter import Wishes, recipe_text, write_recipe
from tests.builders import write_model

URL = "http://localhost:8000/v1"
MODERN = Gpu("H100", 80.0, 79.0, 9.0, "580.1")
OLD = Gpu("V100", 16.0, 15.0, 7.0, "580.1")
ROWS = [{"question": f"{n} + 1?", "answer": str(n + 1), "solution": f"It is {n + 1}."} for n in range(3)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with models and data, on a machine without a GPU."""
    monkeypatch.chdir(tmp_path)
    machine(monkeypatch)
    write_model(tmp_path / "model")
    (tmp_path / "weights.gguf").touch()
    (tmp_path / "tokenizer.json").touch()
    write_rows("rows.jsonl", ROWS)
    write_rows("plain.jsonl", [{"prompt": row["question"]} for row in ROWS])
    write_rows("pair_train.jsonl", ROWS)
    write_rows("pair_test.jsonl", ROWS)
    return tmp_path


def machine(monkeypatch: pytest.MonkeyPatch, *gpus: Gpu) -> None:
    monkeypatch.setattr(starter, "gpus", lambda: list(gpus))


def write_rows(path: str, rows: list[dict[str, Any]]) -> None:
    Path(path).write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def written(**wishes: Any) -> dict[str, Any]:
    given = {"student": "smollm2-135m-instruct", "teacher": None, "data": "arithmetic"} | wishes
    return tomllib.loads(recipe_text("trial", Wishes(**given)))


def arms(recipe: dict[str, Any]) -> list[str]:
    return [arm["objective"] for arm in recipe["arms"]]


STUDENTS = ["smollm2-135m-instruct", "model", "Qwen/Qwen2.5-0.5B-Instruct"]
TEACHERS = [None, URL, "https://api.openai.com/v1", "weights.gguf", "model", "Qwen/Qwen2.5-72B-Instruct", "tutor"]
DATA = ["arithmetic", "gsm8k", "gsm8k=$CGD_NONE/gsm8k_{split}.jsonl", "rows.jsonl", "plain.jsonl", "pair_train.jsonl"]
EVALUATE = [None, "math500", "rows.jsonl"]
IMPOSSIBLE = {("tutor", data) for data in DATA[1:]} | {(None, "plain.jsonl")}
COMBINATIONS = [pair for pair in itertools.product(TEACHERS, DATA) if pair not in IMPOSSIBLE]


@pytest.mark.parametrize("gpu", [None, MODERN, OLD], ids=["no GPU", "bfloat16", "no bfloat16"])
@pytest.mark.parametrize(("teacher", "data"), COMBINATIONS)
def test_every_recipe_that_is_written_passes_the_check(
    teacher: str | None, data: str, gpu: Gpu | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, *([gpu] if gpu else []))
    for number, (student, evaluate) in enumerate(itertools.product(STUDENTS, EVALUATE)):
        path = Path(f"trial{number}.toml")
        model = "m" if teacher and "://" in teacher else None
        write_recipe(path, Wishes(student, teacher, data, evaluate, model))
        done = CliRunner().invoke(app, ["check", str(path)], catch_exceptions=False)
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize(("teacher", "data"), sorted(IMPOSSIBLE, key=str))
def test_a_teacher_that_does_not_go_with_the_data_is_refused(teacher: str | None, data: str) -> None:
    with pytest.raises(UserError, match="tutor works with --data arithmetic alone|no reference solutions"):
        written(teacher=teacher, data=data)


def test_a_recipe_that_is_there_is_overwritten_by_force_alone(folder: Path) -> None:
    mine = folder / "mine.toml"
    mine.write_text("mine")
    refused = CliRunner().invoke(app, ["init", "mine.toml"])
    assert isinstance(refused.exception, UserError)
    assert "mine.toml is there already" in str(refused.exception)
    assert mine.read_text() == "mine"
    done = CliRunner().invoke(app, ["init", "mine.toml", "--force"], catch_exceptions=False)
    assert done.output == "done: mine.toml; next: cgd check mine.toml, then cgd plan mine.toml\n"
    assert tomllib.loads(mine.read_text())["student"]["model"] == "smollm2-135m-instruct"


def test_nothing_is_written_where_something_is_wrong(folder: Path) -> None:
    for wishes in (
        Wishes("./none", None, "gsm8k"),
        Wishes("model", "none.gguf", "gsm8k"),
        Wishes("model", None, "none.jsonl"),
        Wishes("model", None, "gsm8k", "none"),
    ):
        with pytest.raises(UserError, match="none"):
            write_recipe(folder / "new.toml", wishes)
    with pytest.raises(UserError, match="name: String should match pattern"):
        write_recipe(folder / "a b.toml", Wishes("model", None, "gsm8k"))
    assert not list(folder.glob("*.toml"))


def test_arms_are_those_that_there_is_something_to_learn_from_for() -> None:
    assert arms(written(teacher=URL, teacher_model="m", data="rows.jsonl")) == ["cgd", "distilled_sft", "sft"]
    assert arms(written(teacher=URL, teacher_model="m", data="plain.jsonl")) == ["cgd", "distilled_sft"]
    assert arms(written(data="gsm8k")) == ["sft"]
    assert written()["teacher"] == {"backend": "tutor"}


def test_numbers_go_with_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "dtype" not in written()["training"]
    machine(monkeypatch, OLD)
    assert "dtype" not in written()["training"]
    machine(monkeypatch, MODERN)
    recipe = written()
    assert (recipe["training"]["dtype"], recipe["student"]["options"]) == ("bfloat16", {"dtype": "bfloat16"})


def test_a_test_file_beside_the_training_file_is_found() -> None:
    recipe = written(data="pair_train.jsonl")
    assert recipe["data"]["options"]["path"] == "pair_{split}.jsonl"
    (benchmark,) = recipe["evaluation"]["tasks"]
    assert benchmark["options"] == recipe["data"]["options"]
    assert "tasks" not in written(data="rows.jsonl")["evaluation"]


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_is_the_same_after_it_was_read_from_the_recipe(text: str) -> None:
    assert tomllib.loads(f"key = {starter._toml(text)}  # {starter._comment(text)}") == {"key": text}
