from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cgd.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in a temporary folder."""
    opened = Store(tmp_path / "run.sqlite")
    yield opened
    opened.close()
