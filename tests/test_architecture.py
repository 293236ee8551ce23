"""Run with: pytest tests/test_architecture.py. What import-linter can't say about the shape of the package."""

from __future__ import annotations

import ast
import re
from importlib.resources import files
from pathlib import Path

import pytest

from cgd.config import Recipe, Section
from cgd.recipe import load_recipe
from cgd.resolve import resolve

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "cgd"
MODULES = sorted(SOURCE.rglob("*.py"))
CONFIGS = sorted((ROOT / "configs").rglob("*.toml"))
LONGEST_FILE = 300
OF_MODEL_FOLDERS = {"chat_template.jinja"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def sections(root: type[Section] = Section) -> list[type[Section]]:
    """The sections of a recipe, not the options of plug-ins."""
    below = [section for child in root.__subclasses__() for section in sections(child)]
    return [root, *below] if root.__module__.startswith("cgd.config") else below


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_source_file_is_longer_than_300_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


# Recipes


def test_recipes_ship() -> None:
    assert ROOT / "configs" / "quickstart.toml" in CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_every_shipped_recipe_loads_under_its_own_name_and_finds_its_plug_ins(path: Path) -> None:
    recipe = load_recipe([path])
    assert isinstance(recipe, Recipe)
    assert recipe.name == path.stem
    assert set(resolve(recipe).objectives) == {arm.name for arm in recipe.arms}


def test_every_key_of_a_recipe_says_what_it_means() -> None:
    """The docstrings are the reference; a section's own key is explained by its class."""
    assert Recipe in sections()
    silent = [
        f"{section.__name__}.{key}"
        for section in sections()
        for key, field in section.model_fields.items()
        if not field.description and "Config" not in str(field.annotation)
    ]
    assert silent == []


# Prompts and other files of the package


def test_prompt_text_stands_only_in_the_prompts_folder_and_templates_of_reports_beside_their_code() -> None:
    folders = {path.parent.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.jinja*")}
    assert folders == {"cards", "prompts", "report"}


def test_templates_are_rendered_only_where_they_lie() -> None:
    importing = {
        path.relative_to(SOURCE).as_posix()
        for path in MODULES
        if re.search(r"^\s*(?:from|import) jinja2\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert importing == {"cards/__init__.py", "prompts/__init__.py", "report/html.py"}


@pytest.mark.parametrize("path", sorted((SOURCE / "prompts").glob("*.jinja")), ids=name_of)
def test_no_sentence_of_a_prompt_stands_in_the_code_too(path: Path) -> None:
    sentences = [line for line in path.read_text(encoding="utf-8").splitlines() if len(line) > 15 and "{" not in line]
    assert sentences
    code = "\n".join(module.read_text(encoding="utf-8") for module in MODULES)
    assert [sentence for sentence in sentences if sentence in code] == []


def test_every_file_that_the_code_names_is_part_of_the_package() -> None:
    named = {
        name
        for module in MODULES
        for name in re.findall(
            r"[\"']([\w./-]+\.(?:jinja|js|css|html\.jinja))[\"']", module.read_text(encoding="utf-8")
        )
    }
    there = {path.name for package in ("cgd.cards", "cgd.prompts", "cgd.report") for path in files(package).iterdir()}
    assert named >= {"critique.jinja", "refinement.jinja", "student.jinja", "index.html.jinja"}
    assert named - OF_MODEL_FOLDERS <= there


def test_every_template_is_used() -> None:
    code = "\n".join(module.read_text(encoding="utf-8") for module in MODULES)
    assert [path.name for path in SOURCE.rglob("*.jinja") if f'"{path.name}"' not in code] == []


def test_the_package_says_that_it_is_typed() -> None:
    assert files("cgd").joinpath("py.typed").is_file()


@pytest.mark.parametrize(
    "folder", ["backends", "tasks", "objectives", "prompts", "report", "generation", "dataset", "cards"]
)
def test_every_folder_is_a_package(folder: str) -> None:
    assert (SOURCE / folder / "__init__.py").is_file()
