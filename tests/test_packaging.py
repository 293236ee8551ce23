"""Run with: make dist. What is built, and what it does where nothing but itself is installed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import NamedTuple

import pytest

from cgd import __version__
from tests.tiny import save_recipe

pytestmark = [pytest.mark.packaging, pytest.mark.network, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
SDIST, WHEEL = DIST / f"cgd-{__version__}.tar.gz", DIST / f"cgd-{__version__}-py3-none-any.whl"


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Place:
    """An environment of its own, and a working directory with the wheel's own commands."""

    def __init__(self, folder: Path, extra: str, python: str = sys.executable) -> None:
        self.folder = folder
        subprocess.run([python, "-m", "venv", str(folder / "env")], check=True)
        self.bin = folder / "env" / "bin"
        what = f"{WHEEL}[{extra}]" if extra else str(WHEEL)
        pinned = ["-c", str(ROOT / "constraints.txt")]
        installed = self.call("python", "-m", "pip", "install", "--quiet", "--no-compile", *pinned, what)
        assert installed.code == 0, installed.err

    def call(self, name: str, *arguments: str) -> Done:
        """A command of the environment; the surrounding one is not seen."""
        hidden = ("PYTHONPATH", "VIRTUAL_ENV")
        environment = {key: value for key, value in os.environ.items() if key not in hidden}
        environment["CGD_CACHE"] = str(self.folder / "cache")
        done = subprocess.run(
            [str(self.bin / name), *arguments], capture_output=True, text=True, cwd=self.folder, env=environment
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def cgd(self, *arguments: str) -> Done:
        return self.call("cgd", *arguments)


@pytest.fixture(scope="module", params=["3.11", "3.12", "3.13"])
def bare(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The wheel and what it cannot do without, on each Python that this machine has."""
    return Place(tmp_path_factory.mktemp("bare"), "", interpreter(request.param))


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The wheel and its extra `train`."""
    return Place(tmp_path_factory.mktemp("training"), "train")


def interpreter(version: str) -> str:
    if sys.version.startswith(f"{version}."):
        return sys.executable
    found = shutil.which(f"python{version}")
    if found is None or subprocess.run([found, "--version"], capture_output=True).returncode:
        pytest.skip(f"there is no python{version} on this machine")
    return found


def tracked(*folders: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", *folders], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(listed.stdout.splitlines())


# What is built


def test_the_sdist_holds_what_git_tracks_and_nothing_else() -> None:
    with tarfile.open(SDIST) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names == tracked() | {"PKG-INFO"}


def test_the_wheel_holds_every_file_of_the_package() -> None:
    with zipfile.ZipFile(WHEEL) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {name.removeprefix("src/") for name in tracked("src")}
    kinds = {Path(name).suffix for name in names}
    assert kinds >= {".py", ".typed", ".jinja", ".sql", ".html", ".css", ".js", ".svg"}


def test_the_wheel_of_the_sdist_is_that_of_the_tree(tmp_path: Path) -> None:
    """`make dist` builds it from the sdist."""
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, capture_output=True, check=True)
    of_tree, of_sdist = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / WHEEL.name, WHEEL))
    assert of_tree == of_sdist


def test_metadata_name_version_licence_and_extras() -> None:
    with zipfile.ZipFile(WHEEL) as archive:
        metadata = HeaderParser().parsestr(archive.read(f"cgd-{__version__}.dist-info/METADATA").decode())
        assert f"cgd-{__version__}.dist-info/licenses/LICENSE" in archive.namelist()
    assert (metadata["Version"], metadata["License-Expression"]) == (__version__, "Apache-2.0")
    assert set(metadata.get_all("Provides-Extra", [])) >= {
        *("train", "llamacpp", "vllm", "ray", "eval", "inspect", "dev")
    }


# What it does alone


def test_the_command_and_the_library_say_their_version(bare: Place) -> None:
    assert bare.cgd("--version") == (0, f"cgd {__version__}\n", "")
    code = "import cgd, importlib.metadata as m; print(cgd.__version__ == m.version('cgd'), cgd.__file__)"
    same, where = bare.call("python", "-c", code).out.split()
    assert (same, where.startswith(str(bare.folder))) == ("True", True)


def test_every_command_explains_itself(bare: Place) -> None:
    """Which imports it, with nothing but the wheel's own requirements."""
    code = "import cgd.cli; print(*(c.name or c.callback.__name__ for c in cgd.cli.app.registered_commands))"
    names = bare.call("python", "-c", code).out.split()
    assert {"run", "train", "check", "plan", "eval", "grade", "inspect"} <= set(names)
    shown = bare.cgd("--help")
    assert shown.code == 0 and all(f" {name} " in shown.out for name in names)
    assert [name for name in names if bare.cgd(name, "--help").code] == []


def test_doctor_finds_the_basics_working_and_names_each_extra(bare: Place) -> None:
    """Exit code 0: an extra that is not there is a warning."""
    examined = bare.cgd("doctor")
    assert (examined.code, examined.out.splitlines()[-1]) == (0, "the basics work")
    for extra in ("train", "llamacpp", "vllm", "ray", "eval", "inspect"):
        assert f"pip install 'cgd[{extra}]'" in examined.out


def test_a_first_recipe_is_written_and_checked(bare: Place) -> None:
    assert bare.cgd("init", "first.toml").code == 0
    assert bare.cgd("check", "first.toml").out.startswith("first: valid; arms: ")


def test_a_table_of_answers_is_graded(bare: Place) -> None:
    """42 as a number, and a fraction by math-verify in its worker process."""
    rows = ['{"gold": "42", "prediction": "Answer: 42"}', r'{"gold": "\\frac{1}{2}", "prediction": "\\boxed{0.5}"}']
    (bare.folder / "answers.jsonl").write_text("\n".join(rows) + "\n")
    graded = bare.cgd("grade", "answers.jsonl")
    assert (graded.code, graded.out.count('"flexible": true')) == (0, 2)


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("plan", "first.toml"), "train"),
        (("run", "first.toml"), "train"),
        (("train", "first.toml"), "train"),
        (("eval", "smollm2-135m-instruct", "--tasks", "arithmetic", "--limit", "4"), "train"),
        (("eval", "smollm2-135m-instruct", "--tasks", "gsm8k"), "train"),
        (("card", "runs/first"), "train"),
        (("inspect", "runs/first"), "inspect"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_needs_an_extra_says_so_in_one_line(bare: Place, arguments: tuple[str, ...], extra: str) -> None:
    assert bare.cgd("init", "first.toml", "--force").code == 0
    done = bare.cgd(*arguments)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert done.err.startswith("error: ") and done.err.endswith(f": pip install 'cgd[{extra}]'\n")


# What it does with its extra `train`


@pytest.mark.slow
def test_a_tiny_run_is_planned_and_goes_through(training: Place, student: Path) -> None:
    save_recipe(training.folder / "tiny.toml", student)
    planned = training.cgd("plan", "tiny.toml")
    assert (planned.code, "evaluation arithmetic" in planned.out) == (0, True), planned.err
    ran = training.cgd("run", "tiny.toml")
    assert (ran.code, "done: runs/tiny/report/index.html" in ran.out) == (0, True), ran.err
    assert (training.folder / "runs" / "tiny" / "report" / "index.html").is_file()
