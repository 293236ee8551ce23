"""Run with: pytest tests/test_recipe.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.errors import UserError
from cgd.recipe import flatten, load_recipe

RECIPE = """
[data]
task = "arithmetic"
n = 8

[student]
model = "some/model"

[[arms]]
name = "cgd"
objective = "cgd"

[[arms]]
name = "sft"
objective = "sft"

[training]
learning_rate = 1e-5
seeds = [0, 1]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "trial.toml"
    path.write_text(RECIPE)
    return path


def complaint(recipe: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_recipe([recipe], overrides)
    return str(caught.value)


# Precedence


def test_a_later_file_wins_over_an_earlier_one_and_set_over_all(recipe: Path, tmp_path: Path) -> None:
    """One value from each rung: batch_size 8 (default), n 8 -> 9 (file 1, 2), learning_rate 1e-5 -> 2e-5 -> 3e-5."""
    second = tmp_path / "second.toml"
    second.write_text("[data]\nn = 9\n[training]\nlearning_rate = 2e-5\n")
    loaded = load_recipe([recipe, second], ["training.learning_rate=3e-5"])
    assert (loaded.training.batch_size, loaded.data.n, loaded.training.learning_rate) == (8, 9, 3e-5)
    assert load_recipe([second, recipe]).data.n == 8


def test_a_later_file_keeps_the_keys_it_does_not_name_and_replaces_lists_whole(recipe: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.toml"
    second.write_text('[training]\nseeds = [5]\n[[arms]]\nname = "only"\nobjective = "cft"\n')
    loaded = load_recipe([recipe, second])
    assert (loaded.training.seeds, loaded.training.learning_rate) == ((5,), 1e-5)
    assert [arm.name for arm in loaded.arms] == ["only"]


def test_a_run_is_named_after_the_first_file_unless_it_says_otherwise(recipe: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.toml"
    second.write_text("seed = 3\n")
    assert load_recipe([recipe, second]).name == "trial"
    assert load_recipe([recipe], ["name=other"]).name == "other"
    second.write_text('name = "mine"\n')
    assert load_recipe([recipe, second]).name == "mine"


# --set


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.n=5", {"data.n": 5}),
        ("data.n = 5 ", {"data.n": 5}),
        ("training.seeds=[3, 4]", {"training.seeds.0": 3, "training.seeds.1": 4}),
        ("training.seeds.1=7", {"training.seeds.0": 0, "training.seeds.1": 7}),
        ("arms.1.name=plain", {"arms.0.name": "cgd", "arms.1.name": "plain", "arms.1.objective": "sft"}),
        ("report.examples=0", {"report.examples": 0}),
        ("student.model=org/model-1", {"student.model": "org/model-1"}),
        ('student.model="1"', {"student.model": "1"}),
        ("teacher.backend=tutor", {"teacher.backend": "tutor"}),
        ("training.gradient_checkpointing=true", {"training.gradient_checkpointing": True}),
        ("data.options.path=a=b", {"data.options.path": "a=b"}),
    ],
)
def test_set_reaches_any_key_and_any_item_of_a_list(recipe: Path, override: str, expected: dict[str, Any]) -> None:
    leaves = flatten(load_recipe([recipe], [override]).model_dump())
    assert {key: leaves[key] for key in expected} == expected


def test_a_later_set_wins(recipe: Path) -> None:
    assert load_recipe([recipe], ["data.n=5", "data.n=6"]).data.n == 6


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.n", "write it as section.key=value"),
        ("=5", "write it as section.key=value"),
        ("arms.2.name=x", "there is no item '2'"),
        ("arms.-1.name=x", "there is no item '-1'"),
        ("arms.².name=x", "there is no item '²'"),
        ("training.seeds.2=1", "there is no item '2'"),
        ("data.n.x=1", "data.n is a plain value, it has no key 'x'"),
        ("data.n.x.y=1", "there is no item 'x'"),
    ],
)
def test_a_set_that_points_nowhere_is_quoted_with_the_reason(recipe: Path, override: str, expected: str) -> None:
    message = complaint(recipe, override)
    assert override in message
    assert expected in message


def test_a_misspelt_key_in_a_set_is_answered_like_one_in_the_file(recipe: Path) -> None:
    assert "data.m: unknown key" in complaint(recipe, "data.m=5")
    assert "dta: unknown key; did you mean 'data'?" in complaint(recipe, "dta.n=5")


# Files


def test_a_missing_file_is_named_with_the_working_directory(tmp_path: Path) -> None:
    message = complaint(tmp_path / "none.toml")
    assert str(tmp_path / "none.toml") in message
    assert str(Path.cwd()) in message


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    assert "is a folder" in complaint(tmp_path)


def test_malformed_toml_is_named_with_its_line(recipe: Path) -> None:
    recipe.write_text("seed = 0\nname = \n")
    message = complaint(recipe)
    assert f"{recipe} is not valid TOML" in message
    assert "line 2" in message


def test_a_file_that_is_no_text_is_no_recipe(recipe: Path) -> None:
    recipe.write_bytes(b'name = "\xff"\n')
    assert "is not valid TOML" in complaint(recipe)


def test_a_path_through_a_file_is_refused(recipe: Path) -> None:
    assert str(recipe / "inner.toml") in complaint(recipe / "inner.toml")


# Flattening


def test_leaves_are_named_by_their_path() -> None:
    """Empty containers are leaves: a section that is there but empty differs from one that is not."""
    value = {"seed": 0, "arms": [{"name": "a"}, {"name": "b"}], "seeds": (1, 2), "options": {}, "tasks": []}
    assert flatten(value) == {
        "seed": 0,
        "arms.0.name": "a",
        "arms.1.name": "b",
        "seeds.0": 1,
        "seeds.1": 2,
        "options": {},
        "tasks": [],
    }


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
NAMES = st.text("abc", min_size=1, max_size=2)
TREES = st.recursive(SCALARS, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8)


def count_leaves(value: Any) -> int:
    return sum(map(count_leaves, value.values())) if isinstance(value, dict) and value else 1


@settings(deadline=None)
@given(st.dictionaries(NAMES, TREES, min_size=1, max_size=3), st.dictionaries(NAMES, TREES, min_size=1, max_size=3))
def test_flat_forms_are_equal_exactly_where_the_values_are(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert len(flatten(one)) == count_leaves(one)
    assert (flatten(one) == flatten(other)) == (one == other)


def test_a_recipe_without_arms_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    path.write_text('arms = []\n[data]\ntask = "arithmetic"\n[student]\nmodel = "some/model"\n')
    assert "at least one [[arms]]" in complaint(path)
