"""Run with: pytest tests/test_comparison.py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cgd.cli import app
from cgd.comparison import compare
from cgd.errors import UserError
from cgd.store import Store
from tests.builders import FAILED, RIGHT, WRONG, Verdict, add_predictions, make_prompts, make_recipe

PROMPTS = make_prompts([f"{index} + 4?" for index in range(20)])


def make_run(
    folder: Path, verdicts: dict[str, Sequence[Verdict]], first: int = 0, steps: int = 8, task: str = "sums"
) -> Path:
    """A run whose arms answered the prompts from `first` on."""
    folder.mkdir(parents=True)
    store = Store(folder / "run.sqlite")
    for arm, given in verdicts.items():
        add_predictions(store, task, arm, PROMPTS[first : first + len(given)], given)
    store.close()
    recipe = make_recipe(name=folder.name, training={"steps": steps})
    (folder / "manifest.json").write_text(json.dumps({"recipe": recipe.model_dump(mode="json")}))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """`short` has 2 of 16 right, `long` 12 of the same 16, one of whose prompts `short` has no verdict on."""
    short = make_run(tmp_path / "short", {"sft": [FAILED, *[RIGHT] * 2, *[WRONG] * 13], "base": [WRONG] * 16})
    long = make_run(tmp_path / "long", {"sft": [*[RIGHT] * 12, *[WRONG] * 4]}, steps=16)
    return [short, long]


def test_students_of_two_runs_are_paired_by_prompt(runs: list[Path]) -> None:
    """Over the 15 prompts of both: 2/15 against 11/15, 9 points of a share of 15 more."""
    (task,) = compare(runs, ["sft"])["tasks"].values()
    assert {name: arm["n"] for name, arm in task["arms"].items()} == {"short/sft": 15, "long/sft": 16}
    (pair,) = task["paired"].values()
    assert (pair["a"], pair["b"], pair["n"]) == ("long/sft", "short/sft", 15)
    assert pair["difference"] == pytest.approx(9 / 15)
    assert pair["p_holm"] == pair["p"] == pytest.approx(2 / 2**9)
    assert task["words"] == [
        "Differences are over prompts that both students have a verdict on: "
        "15, where long/sft has 16 and short/sft 15.",
        f"long/sft is above short/sft by 60.0 points ({100 * pair['ci95'][0]:.1f} to {100 * pair['ci95'][1]:.1f}, "
        "n = 15).",
    ]


def test_a_difference_is_that_of_the_other_order_with_another_sign(runs: list[Path]) -> None:
    pairs = [next(iter(compare(order, ["sft"])["tasks"]["sums"]["paired"].values())) for order in (runs, runs[::-1])]
    assert pairs[0]["difference"] == -pairs[1]["difference"]
    assert pairs[0]["p"] == pairs[1]["p"]


def test_pairs_are_of_two_runs_and_corrected_together(runs: list[Path]) -> None:
    """Base and sft of the run `short` are in its own report; two pairs are left."""
    pairs = compare(runs)["tasks"]["sums"]["paired"]
    assert sorted(pairs) == ["long/sft-short/base", "long/sft-short/sft"]
    assert max(pair["p_holm"] / pair["p"] for pair in pairs.values()) == pytest.approx(2)


def test_what_differs_between_the_recipes_is_listed(runs: list[Path]) -> None:
    assert compare(runs)["recipes"] == {"training.steps": {"short": 8, "long": 16}}


def test_prompts_that_only_one_run_asked_are_no_pairs(tmp_path: Path) -> None:
    apart = [make_run(tmp_path / "a", {"sft": [RIGHT] * 5}), make_run(tmp_path / "b", {"sft": [RIGHT] * 5}, first=5)]
    (pair,) = compare(apart)["tasks"]["sums"]["paired"].values()
    assert pair["n"] == 0
    assert "no prompt on which both have a verdict" in compare(apart)["tasks"]["sums"]["words"][-1]


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path: Path, runs: list[Path]) -> None:
    copy = tmp_path / "elsewhere" / "short"
    shutil.copytree(runs[0], copy)
    assert list(compare([runs[0], copy])["runs"]) == [str(runs[0]), str(copy)]


def test_what_cannot_be_compared_is_refused(tmp_path: Path, runs: list[Path]) -> None:
    other = make_run(tmp_path / "other", {"sft": [RIGHT]}, task="products")
    for folders, arms, message in (
        ([runs[0]], [], "two runs or more to compare; got 1"),
        ([runs[0], runs[0]], [], "the same run twice"),
        ([runs[0], tmp_path], [], "holds no run"),
        ([runs[0], other], [], "no benchmark and students in common; there are: other/sft on products, short/base on"),
        (runs, ["cgd"], "no benchmark and students in common"),
    ):
        with pytest.raises(UserError, match=message):
            compare(folders, arms)


def test_the_command_prints_accuracies_words_and_recipes(runs: list[Path]) -> None:
    done = CliRunner().invoke(app, ["compare", *map(str, runs), "--arm", "sft"], catch_exceptions=False)
    lines = done.output.splitlines()
    assert lines[0] == "sums:"
    assert lines[1].split()[:2] == ["short/sft", "13.3%"]
    assert lines[-2:] == ["The recipes differ:", "  training.steps: short: 8; long: 16"]
    as_json = CliRunner().invoke(app, ["compare", *map(str, runs), "--json"], catch_exceptions=False)
    assert json.loads(as_json.output) == json.loads(json.dumps(compare(runs)))
