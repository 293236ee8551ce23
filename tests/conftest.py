"""Small students and tokenizers, made once a session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cgd.store import Store
from tests.tiny import FAMILIES, Family, save_student, save_tokenizer


class Tokenizer(NamedTuple):
    """A family's tokenizer as the package loads it."""

    family: Family
    it: Any

    def tokens(self, ids: list[int]) -> str:
        """The text of token ids, special ones included."""
        text: str = self.it.decode(ids, skip_special_tokens=False)
        return text

    def special_count(self, ids: list[int]) -> int:
        """How many of the ids are special tokens."""
        return sum(token in self.it.all_special_ids for token in ids)


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    """Keep tests out of the user's cache of weights; the value is where it lies, if that was set."""
    before = os.environ.get("CGD_CACHE")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CGD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield before


@pytest.fixture(scope="session", params=list(FAMILIES))
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Each family's tokenizer in turn."""
    from cgd.chat import load_tokenizer

    folder = save_tokenizer(request.param, tmp_path_factory.mktemp(request.param))
    return Tokenizer(FAMILIES[request.param], load_tokenizer(folder))


@pytest.fixture(scope="session")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete model folder: ChatML, random weights. Not to be changed."""
    return save_student(tmp_path_factory.mktemp("student"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in a temporary folder."""
    opened = Store(tmp_path / "run.sqlite")
    yield opened
    opened.close()
