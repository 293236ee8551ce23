"""Run with: pytest tests/test_config.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cgd.config import (
    ArmConfig,
    BackendConfig,
    CritiqueConfig,
    EvaluationConfig,
    EvaluationTaskConfig,
    Recipe,
    Sampling,
    StudentConfig,
    TrainingConfig,
)
from cgd.errors import UserError
from cgd.recipe import load_recipe
from cgd.validation import validate
from tests.builders import make_recipe

LEAST: dict[str, Any] = {
    "name": "trial",
    "data": {"task": "arithmetic"},
    "student": {"model": "some/model"},
    "arms": [{"name": "cgd", "objective": "cgd"}],
}


def complaint(**sections: Any) -> str:
    """What a user reads whose recipe has these sections."""
    with pytest.raises(UserError) as caught:
        validate(Recipe, LEAST | sections, "trial.toml")
    return str(caught.value)


def test_a_recipe_needs_only_data_a_student_and_an_arm() -> None:
    recipe = validate(Recipe, LEAST, "trial.toml")
    assert (recipe.seed, recipe.teacher, recipe.training, recipe.evaluation.tasks) == (0, None, TrainingConfig(), ())


def test_a_recipe_survives_the_way_through_json() -> None:
    recipe = make_recipe(
        teacher={"backend": "scripted", "options": {"replies": {"critique": "x"}}},
        training={"seeds": [0, 7], "learning_rate": 1e-5},
        evaluation={"tasks": [{"task": "arithmetic", "n": 3}]},
    )
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_a_recipe_can_not_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_recipe().seed = 1  # type: ignore[misc]


# Unknown keys


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"sed": 1}, "sed: unknown key; did you mean 'seed'?"),
        ({"data": {"task": "x", "tsk": 1}}, "data.tsk: unknown key; did you mean 'task'?"),
        ({"student": {"model": "x", "bakend": 1}}, "student.bakend: unknown key; did you mean 'backend'?"),
        ({"teacher": {"backend": "x", "modle": 1}}, "teacher.modle: unknown key; did you mean 'model'?"),
        ({"critique": {"promt": "x"}}, "critique.promt: unknown key; did you mean 'prompt'?"),
        ({"arms": [{"name": "a", "objective": "x", "optoins": {}}]}, "arms.0.optoins: unknown key; did you mean 'opt"),
        ({"training": {"learningrate": 1}}, "training.learningrate: unknown key; did you mean 'learning_rate'?"),
        ({"evaluation": {"tasks": [{"task": "x"}, {"task": "y", "nme": "z"}]}}, "evaluation.tasks.1.nme: unknown key"),
    ],
)
def test_an_unknown_key_is_answered_with_the_closest_known_one(sections: dict[str, Any], expected: str) -> None:
    assert expected in complaint(**sections)


def test_an_unknown_key_that_resembles_none_is_answered_with_all_allowed_ones() -> None:
    assert "report.zzz: unknown key; allowed: examples" in complaint(report={"zzz": 1})


def test_a_draft_has_no_prompt_file_and_a_refinement_no_samples() -> None:
    """Drafts answer the task's own prompt; there is one refinement a critique: neither key exists."""
    assert "draft.prompt: unknown key" in complaint(draft={"prompt": "x.jinja"})
    assert "refinement.n: unknown key" in complaint(refinement={"n": 2, "temperature": 1.0})


def test_every_problem_is_told_at_once_under_the_name_of_the_file() -> None:
    lines = complaint(data={"n": 0}, zzz=1, report={"examples": -1}).splitlines()
    assert lines[0] == "trial.toml is not valid:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["data.task", "data.n", "report.examples", "zzz"]


def test_a_missing_section_is_named() -> None:
    with pytest.raises(UserError, match=r"(?m)^  student: required, but absent$"):
        validate(Recipe, {name: value for name, value in LEAST.items() if name != "student"}, "trial.toml")


# Values


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"data": {"task": "x", "n": "many"}}, "data.n: Input should be a valid integer"),
        ({"data": {"task": "x", "n": 0}}, "data.n: Input should be greater than or equal to 1 (got 0)"),
        ({"data": {"task": 3}}, "data.task: Input should be a valid string (got 3)"),
        ({"data": 3}, "data: Input should be a valid dictionary"),
        ({"student": {"model": None}}, "student.model: Input should be a valid string (got None)"),
        ({"training": {"method": "half"}}, "training.method: Input should be 'full' or 'lora' (got 'half')"),
        ({"training": {"seeds": 3}}, "training.seeds: "),
        ({"training": {"seeds": [0.5]}}, "training.seeds.0: "),
        ({"training": {"learning_rate": 0}}, "training.learning_rate: Input should be greater than 0 (got 0)"),
        ({"training": {"learning_rate": float("inf")}}, "training.learning_rate: Input should be a finite number"),
        ({"training": {"epochs": float("inf")}}, "training.epochs: Input should be a finite number"),
        ({"training": {"warmup_ratio": 1.0}}, "training.warmup_ratio: Input should be less than 1 (got 1.0)"),
        ({"draft": {"temperature": float("nan")}}, "draft.temperature: "),
        ({"draft": {"temperature": -0.1}}, "draft.temperature: Input should be greater than or equal to 0"),
        ({"draft": {"top_p": 0}}, "draft.top_p: Input should be greater than 0"),
        ({"max_failed_share": 1.01}, "max_failed_share: Input should be less than or equal to 1 (got 1.01)"),
    ],
)
def test_a_value_of_a_wrong_kind_or_size_is_named_with_what_is_allowed(sections: dict[str, Any], expected: str) -> None:
    assert expected in complaint(**sections)


@pytest.mark.parametrize("name", ["", "..", ".hidden", "../up", "a/b", "a b", "über", "line\n", "x" * 81])
def test_a_name_that_is_no_plain_folder_name_is_refused(name: str) -> None:
    assert "\n  name: " in complaint(name=name)


@settings(deadline=None)
@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", fullmatch=True))
def test_every_allowed_name_is_one_folder_below_its_parent(name: str) -> None:
    path = Path("runs") / validate(ArmConfig, {"name": name, "objective": "cgd"}, "arm").name
    assert path.parent == Path("runs")
    assert path.name == name


def test_several_samples_need_a_temperature() -> None:
    assert "critique: n > 1 needs temperature > 0" in complaint(critique={"n": 2})
    assert "draft: n > 1 needs temperature > 0" in complaint(draft={"n": 2, "temperature": 0.0})
    assert validate(Recipe, LEAST | {"draft": {"n": 2, "temperature": 0.8}}, "x").draft.n == 2


def test_a_batch_is_a_whole_number_of_micro_batches() -> None:
    """8 = 4 x 2 is fine, 7 = 3 x 2 + 1 is not."""
    assert validate(TrainingConfig, {"batch_size": 8, "micro_batch_size": 2}, "x").micro_batch_size == 2
    assert "training: batch_size 7 is no multiple of micro_batch_size 2" in complaint(
        training={"batch_size": 7, "micro_batch_size": 2}
    )


@settings(deadline=None)
@given(st.integers(1, 64), st.integers(1, 64))
def test_batch_sizes_are_taken_exactly_where_they_divide(batch_size: int, micro_batch_size: int) -> None:
    values = {"batch_size": batch_size, "micro_batch_size": micro_batch_size}
    try:
        validate(TrainingConfig, values, "training")
        taken = True
    except UserError:
        taken = False
    assert taken == (batch_size % micro_batch_size == 0)


@pytest.mark.parametrize("seeds", [[], [1, 1], [0, 2, 0]])
def test_training_seeds_are_different_numbers_and_at_least_one(seeds: list[int]) -> None:
    assert f"training: seeds must be different numbers, at least one; got {seeds}" in complaint(
        training={"seeds": seeds}
    )


def test_arm_names_differ_and_base_is_taken() -> None:
    arms = [{"name": name, "objective": "cgd"} for name in ("b", "a", "a", "b", "c")]
    assert "must differ; repeated: a, b" in complaint(arms=arms)
    assert "repeated: base" in complaint(arms=[{"name": "base", "objective": "cgd"}])


def test_a_benchmark_is_answered_its_own_way_where_it_says_so() -> None:
    tasks = [{"task": "gsm8k"}, {"task": "aime24", "samples": 16, "temperature": 0.7}]
    config = EvaluationConfig.model_validate({"max_tokens": 64, "tasks": tasks})
    assert config.answers() == config.answers("gsm8k") == (Sampling(max_tokens=64), 1)
    assert config.answers("aime24") == (Sampling(max_tokens=64, temperature=0.7), 16)


@pytest.mark.parametrize("where", ["section", "task"])
def test_several_samples_of_a_greedy_answer_are_refused(where: str) -> None:
    evaluation = {"samples": 4, "tasks": []} if where == "section" else {"tasks": [{"task": "gsm8k", "samples": 4}]}
    assert "4 samples at temperature 0 are 4 times the same text" in complaint(evaluation=evaluation)


def test_an_evaluation_task_is_called_by_its_name_or_by_the_last_part_of_its_task() -> None:
    assert EvaluationTaskConfig(task="gsm8k").label == "gsm8k"
    assert EvaluationTaskConfig(task="my.own.sums").label == "sums"
    assert EvaluationTaskConfig(task="jsonl", name="held-out").label == "held-out"


def test_evaluation_tasks_with_one_label_are_refused() -> None:
    tasks: list[dict[str, Any]] = [{"task": "jsonl"}, {"task": "gsm8k", "name": "jsonl"}]
    assert "evaluation: evaluation task names must differ; repeated: jsonl" in complaint(evaluation={"tasks": tasks})


# What is derived


def test_sampling_alone_is_what_decodes() -> None:
    """`n` and the prompt file are no part of it: they show in the key as sample index and messages."""
    stage = CritiqueConfig(n=3, temperature=0.5, prompt="mine.jinja", max_tokens=9)
    assert stage.sampling == Sampling(max_tokens=9, temperature=0.5, top_p=1.0)
    assert type(stage.sampling) is Sampling
    assert make_recipe(evaluation={"max_tokens": 9}).evaluation.sampling == Sampling(max_tokens=9)


def test_the_model_is_an_option_of_its_backend_where_there_is_one() -> None:
    assert StudentConfig(model="m", options={"batch_size": 4}).plugin_options == {"model": "m", "batch_size": 4}
    assert BackendConfig(backend="tutor", options={"reveal": "none"}).plugin_options == {"reveal": "none"}


@pytest.mark.parametrize(
    ("evaluation", "expected"),
    [
        ({}, ("hf", {"batch_size": 4})),
        ({"backend": "hf"}, ("hf", {"batch_size": 4})),
        ({"backend": "scripted"}, ("scripted", {})),
        ({"options": {}}, ("hf", {})),
        ({"backend": "scripted", "options": {"replies": {}}}, ("scripted", {"replies": {}})),
    ],
)
def test_checkpoints_run_as_the_student_does_unless_the_recipe_says_otherwise(
    evaluation: dict[str, Any], expected: tuple[str, dict[str, Any]]
) -> None:
    """Options of one backend mean nothing to another: they are inherited only where the backend is the same."""
    student = {"model": "m", "options": {"batch_size": 4}}
    assert make_recipe(student=student, evaluation=evaluation).checkpoint_backend == expected


@pytest.mark.parametrize("override", ["data.n=true", "seed=1.5", 'training.gradient_checkpointing="off"'])
def test_a_boolean_or_number_of_another_type_is_refused_not_converted(override: str) -> None:
    with pytest.raises(UserError, match=override.partition("=")[0].replace(".", r"\.")):
        load_recipe(["configs/quickstart.toml"], [override])
