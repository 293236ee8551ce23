"""Run with: pytest tests/test_filters.py."""

from __future__ import annotations

from pathlib import Path

from cgd.config import Recipe
from cgd.filters import filter_records
from cgd.records import Prompt, Record
from cgd.runfolder import RunFolder
from tests.builders import make_prompts, make_recipe

LONG = "A farmer sells nine crates of plums on Monday and twice as many crates on the next market day"


def records() -> list[Record]:
    same, other, third = make_prompts([LONG, "What is 2 + 3?", "Name a colour."])
    return [
        Record(same, draft="d", critique="c", refinement="r", key="1"),
        Record(other, draft="d", critique=f"It says: {LONG.lower()}", refinement="r", key="2"),
        Record(third, draft="d", critique="c", refinement="r", key="3"),
    ]


def kept(folder: RunFolder, recipe: Recipe, tests: dict[str, list[Prompt]]) -> list[str]:
    return [record.key for record in filter_records(folder, recipe, records(), tests)]


def test_records_that_share_a_stretch_with_a_test_prompt_are_left_out_where_the_recipe_says_so(tmp_path: Path) -> None:
    """The first by its prompt, the second by its critique; the third stays."""
    folder = RunFolder(tmp_path)
    tests = {"sums": make_prompts([f"{LONG}, how many?"], name="test")}
    assert kept(folder, make_recipe(dataset={"contaminated": "drop"}), tests) == ["3"]
    reasons = [row["reason"] for row in folder.store.query("SELECT reason FROM drops WHERE stage = 'filters'")]
    assert len(reasons) == 2 and "its prompt" in reasons[0] and "its critique" in reasons[1]
    assert all("of sums" in reason for reason in reasons)
    assert kept(folder, make_recipe(), tests) == ["1", "2", "3"], "counted, not left out"
    assert folder.store.query("SELECT * FROM drops") == []
    folder.store.close()
