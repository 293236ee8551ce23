"""Run with: pytest tests/test_plugins.py."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest

from cgd.config import Section
from cgd.errors import UserError
from cgd.plugins import (
    Backend,
    Kind,
    Objective,
    Task,
    available,
    build_backend,
    build_objective,
    build_task,
    load,
)
from cgd.records import Reply, Request
from tests.builders import write_model

KINDS: tuple[Kind, ...] = get_args(Kind)
SHIPPED = [(kind, name) for kind in KINDS for name in available(kind)]

OWN = '''
from cgd.config import Section
from cgd.records import GradingRule, Prompt


class Options(Section):
    """Keys."""

    count: int = 1


class Own:
    """A task of the user's."""

    rule = GradingRule("text", "answer_line")

    def __init__(self, count):
        self.count = count

    def load(self, split, n, seed):
        return [Prompt.create(f"own/{i}", [{"role": "user", "content": str(i)}]) for i in range(self.count)][:n]


def build(options):
    return Own(options.count)
'''


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which modules named `mine_...` can be imported; they are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("mine_")]:
        del sys.modules[name]


def needed_options(kind: Kind, name: str, folder: Path) -> dict[str, Any]:
    """What a plug-in can't be built without."""
    options: dict[tuple[Kind, str], dict[str, Any]] = {
        ("tasks", "reasoning_gym"): {"dataset": "chain_sum"},
        ("backends", "hf"): {"model": str(folder / "model")},
        ("backends", "llamacpp"): {"model": str(folder / "model" / "model.gguf")},
        ("backends", "openai_api"): {"model": "m", "base_url": "http://localhost:1/v1"},
        ("backends", "ray_pool"): {"backend": "scripted", "workers": 1, "options": {"replies": {}}},
        ("backends", "scripted"): {"replies": {}},
        ("backends", "vllm"): {"model": str(folder / "model")},
        ("objectives", "mixture"): {"parts": {"cgd": 1, "sft": 1}},
        ("tasks", "jsonl"): {"path": "none.jsonl"},
    }
    return options.get((kind, name), {})


# Names


def test_the_plug_ins_that_ship_are_the_files_of_their_folder() -> None:
    """An unknown name is answered with this list, so it must hold neither `__init__` nor anything that has no file."""
    source = Path(__file__).parents[1] / "src" / "cgd"
    for kind in KINDS:
        files = {path.stem for path in (source / kind).glob("*.py")} - {"__init__"}
        packages = {path.parent.name for path in (source / kind).glob("*/__init__.py")}
        assert available(kind) == sorted(files | packages)


def test_an_unknown_name_is_answered_with_the_allowed_ones() -> None:
    with pytest.raises(
        UserError, match="no plug-in 'sfft' in objectives; allowed: cft, cgd, distilled_sft, mixture, refine, sft"
    ):
        load("objectives", "sfft")


@pytest.mark.parametrize("name", ["", "none", "json l", "__init__", ".", ".jsonl", "../jsonl"])
def test_a_name_that_is_no_file_of_the_folder_is_not_imported(name: str) -> None:
    with pytest.raises(UserError, match=r"no plug-in '.*' in tasks; allowed: aime24, "):
        load("tasks", name)


@pytest.mark.parametrize("name", ["mine_none.task", "jsonl.", "cgd.tasks.none", "a/b.c"])
def test_a_dotted_name_that_leads_nowhere_is_quoted(name: str) -> None:
    with pytest.raises(UserError, match="can't be imported") as caught:
        load("tasks", name)
    assert repr(name) in str(caught.value)


# The user's own modules


def test_a_dotted_name_is_the_users_own_module(modules: Path) -> None:
    (modules / "mine_package").mkdir()
    (modules / "mine_package" / "sums.py").write_text(OWN)
    task = build_task("mine_package.sums", {"count": 3})
    assert [prompt.messages[0]["content"] for prompt in task.load("test", 2, 0)] == ["0", "1"]


def test_the_keys_of_the_users_own_module_are_checked_like_ours(modules: Path) -> None:
    (modules / "mine_sums").mkdir()
    (modules / "mine_sums" / "task.py").write_text(OWN)
    with pytest.raises(UserError) as caught:
        build_task("mine_sums.task", {"cuont": 3})
    assert "options of tasks plug-in 'mine_sums.task' is not valid" in str(caught.value)
    assert "cuont: unknown key; did you mean 'count'?" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1\n", "lacks Options and build"),
        ("def build(options):\n    return None\n", "lacks Options"),
        ("from cgd.config import Section\n\n\nclass Options(Section):\n    pass\n", "lacks build"),
    ],
)
def test_a_module_without_options_or_build_is_told_what_it_lacks(modules: Path, text: str, expected: str) -> None:
    (modules / "mine_half").mkdir()
    (modules / "mine_half" / "task.py").write_text(text)
    with pytest.raises(UserError, match=f"tasks plug-in 'mine_half.task' {expected}; see CONTRIBUTING.md"):
        load("tasks", "mine_half.task")


def test_a_package_that_a_plug_in_needs_and_that_is_not_installed_is_named(modules: Path) -> None:
    (modules / "mine_needs").mkdir()
    (modules / "mine_needs" / "task.py").write_text("import a_package_nobody_has\n")
    with pytest.raises(UserError, match="No module named 'a_package_nobody_has'.*is it installed"):
        load("tasks", "mine_needs.task")


# What ships


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_a_shipped_plug_in_rejects_keys_it_does_not_have(kind: Kind, name: str, tmp_path: Path) -> None:
    build = {"backends": build_backend, "tasks": build_task, "objectives": build_objective}[kind]
    with pytest.raises(UserError, match="no_such_key: unknown key"):
        build(name, needed_options(kind, name, tmp_path) | {"no_such_key": 1})


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_a_shipped_plug_in_satisfies_its_protocol(
    kind: Kind, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CGD_CACHE", str(tmp_path / "cache"))
    write_model(tmp_path / "model")
    for file in ("model.gguf", "tokenizer.json"):
        (tmp_path / "model" / file).write_text("{}")
    module = load(kind, name)
    built = module.build(module.Options(**needed_options(kind, name, tmp_path)))
    protocol = {"backends": Backend, "tasks": Task, "objectives": Objective}[kind]
    assert isinstance(built, protocol)


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_every_key_of_a_shipped_plug_in_says_what_it_means(kind: Kind, name: str) -> None:
    options: type[Section] = load(kind, name).Options
    assert issubclass(options, Section)
    assert options.__doc__
    assert {key for key, field in options.model_fields.items() if not field.description} == set()


def test_a_backend_is_any_object_of_that_shape() -> None:
    """No base class: the users' own modules need nothing of ours but the values."""

    class Own:
        @property
        def identity(self) -> Mapping[str, Any]:
            return {}

        def check(self, requests: Sequence[Request]) -> None: ...

        async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
            for request in requests:
                yield Reply(request.key, "x")

        def stop(self) -> None: ...

        def close(self) -> None: ...

    backend: Backend = Own()
    assert isinstance(backend, Backend)
    assert not isinstance(object(), Backend)
