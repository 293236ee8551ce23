"""A folder like a reader's: the shipped recipes and a finished run of the quickstart, with small random weights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.pages import ROOT
from tests.tiny import save_student

BUILT_IN = "smollm2-135m-instruct"
GSM8K = '{"question": "What is 2 + 3?", "answer": "2 + 3 = 5\\n#### 5"}\n'


class Desk(NamedTuple):
    """A working directory and the environment that commands have in it."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, script: str) -> None:
        """Run a block as a shell does that stops at the first failure."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="session")
def finished_quickstart(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The quickstart, run as the README says; in the cache, random weights stand under the student's name."""
    folder = tmp_path_factory.mktemp("desk")
    save_student(folder / "cache" / "models" / BUILT_IN)
    shutil.copytree(ROOT / "configs", folder / "configs")
    (folder / "data").mkdir()
    (folder / "data" / "gsm8k_test.jsonl").write_text(GSM8K)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CGD_CACHE": str(folder / "cache"),
        "CGD_DATA": str(folder / "data"),
        "HF_HUB_OFFLINE": "1",
    }
    desk = Desk(folder, environment)
    desk.run("cgd run configs/quickstart.toml")
    return desk


@pytest.fixture
def desk(finished_quickstart: Desk, tmp_path: Path) -> Desk:
    """A copy that a page may do anything to."""
    for name in ("configs", "data", "runs"):
        shutil.copytree(finished_quickstart.folder / name, tmp_path / name)
    return finished_quickstart._replace(folder=tmp_path)
