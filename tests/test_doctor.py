"""Run with: pytest tests/test_doctor.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cgd import doctor
from cgd.cli import app
from cgd.doctor import Finding, clashes, examine, works
from cgd.machine import Gpu

GPU = Gpu("H100", 80.0, 79.0, 9.0, "580.1")


@pytest.fixture(autouse=True)
def no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "gpus", list)


def packages(monkeypatch: pytest.MonkeyPatch, needed: dict[str, list[str]], installed: dict[str, str]) -> None:
    """Pretend that these packages are all there is."""
    monkeypatch.setattr(doctor, "requires", lambda name: needed.get(name))
    monkeypatch.setattr(doctor, "_version", installed.get)


def of(findings: list[Finding], what: str) -> Finding:
    return next(finding for finding in findings if finding.what == what)


def test_this_environment_works() -> None:
    done = CliRunner().invoke(app, ["doctor", "--json"])
    found = json.loads(done.output)
    assert (done.exit_code, found["ok"]) == (0, True)
    assert {"python", "train", "processor", "cache", "environment"} <= {one["what"] for one in found["findings"]}


def test_a_requirement_that_is_not_met_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """A is new enough, b too old, c absent; d is for an extra alone, e for another system."""
    needed = ["a>=1", "b>=2", "c", "d>=1 ; extra == 'x'", "e ; sys_platform == 'none'"]
    packages(monkeypatch, {"cgd": needed}, {"a": "1.5", "b": "1.9"})
    assert [(need.name, there) for need, there in clashes("cgd")] == [("b", "1.9"), ("c", None)]
    assert [(need.name, there) for need, there in clashes("cgd", "x")] == [("d", None)]
    findings = examine()
    assert of(findings, "b") == Finding("b", "problem", "1.9; needed: b>=2", "pip install 'b>=2'")
    assert of(findings, "c") == Finding("c", "problem", "not installed; needed: c", "pip install 'c'")
    assert not works(findings)


def test_the_command_ends_with_2_where_the_basics_do_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    packages(monkeypatch, {"cgd": ["b>=2"]}, {})
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 2
    assert "pip install 'b>=2'" in done.output
    assert done.output.endswith("the basics don't work: mend each problem\n")


def test_an_engine_that_is_absent_or_clashes_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch is too old for the extra; the installed vllm itself wants another torch than the one there is."""
    needed = {"cgd": ["torch>=2.9 ; extra == 'train'", "vllm ; extra == 'vllm'"], "vllm": ["torch==2.8.1", "none>=1"]}
    packages(monkeypatch, needed, {"torch": "2.8", "vllm": "0.32"})
    findings = examine()
    assert of(findings, "train: torch")[1:3] == ("warning", "2.8; needed: torch>=2.9")
    assert of(findings, "vllm: torch").found == "2.8; needed: torch==2.8.1"
    assert "environment of its own" in of(findings, "vllm: torch").mend
    assert of(findings, "ray").mend == "pip install 'cgd[ray]'"
    assert works(findings)


def test_a_torch_that_cannot_see_the_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    packages(monkeypatch, {}, {"torch": "2.13.0+cpu"})
    monkeypatch.setattr(doctor, "gpus", lambda: [GPU])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    findings = examine()
    assert of(findings, "gpu 0").found == "H100, 79 of 80 GiB free, 580.1"
    assert of(findings, "torch").state == "warning"
    assert of(findings, "CUDA_VISIBLE_DEVICES").mend == "unset CUDA_VISIBLE_DEVICES"


def test_variables_are_named_and_their_values_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-secret")
    monkeypatch.setenv("HF_TOKEN", "hf-secret")
    monkeypatch.setenv("UNKNOWN_THING", "x")
    done = CliRunner().invoke(app, ["doctor"])
    assert "HF_TOKEN, " in done.output
    assert "SOME_API_KEY" in done.output
    assert "secret" not in done.output
    assert "UNKNOWN_THING" not in done.output


def test_a_cache_that_is_no_folder_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CGD_CACHE", str(tmp_path / "file" / "cache"))
    assert of(examine(), "cache").state == "problem"


def test_a_full_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "free_disk", lambda folder: 0.5)
    assert of(examine(), "cache").state == "warning"


def test_torch_is_imported_for_a_deep_look_alone() -> None:
    code = "import sys\nfrom cgd.doctor import examine\nexamine()\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert of(examine(deep=True), "torch device").state == "ok"
