"""The documents hold to the code."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import pytest

from cgd.config import Recipe
from cgd.resolve import resolve
from cgd.validation import validate
from tests.docs.pages import DOCS, PAGES, ROOT, name_of


def test_the_recipe_reference_is_what_its_generator_writes() -> None:
    reference = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))["reference"]
    assert (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8") == reference()


def test_the_command_line_reference_is_what_its_generator_writes() -> None:
    reference = runpy.run_path(str(ROOT / "docs" / "make_cli_reference.py"))["reference"]
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_of_a_page_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
    outside = [link for link in links if not (page.parent / link).resolve().is_relative_to(DOCS)]
    assert not (page.is_relative_to(DOCS) and outside), "the site has no files of the repository: name them instead"


def test_the_recipe_in_the_readme_is_valid() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        recipe = validate(Recipe, {"name": "readme", **tomllib.loads(block)}, "README.md")
        assert set(resolve(recipe).objectives) == {arm.name for arm in recipe.arms}


def test_every_recipe_and_option_named_in_the_readme_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"configs/\w+\.toml", readme))
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []
