"""Run with: pytest tests/test_machine.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgd.machine import Gpu, cores, free_disk, gpus, memory


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for nvidia-smi; the test writes its script."""
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


def says(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_gpus_are_those_that_the_driver_lists(listed: Path) -> None:
    """81920 MiB are 80 GiB; a line with a number that the driver does not know is passed over."""
    says(listed, "echo 'NVIDIA A, 81920, 40960, 9.0, 580.1'; echo 'NVIDIA B, [N/A], 1, 7.0, 580.1'; echo")
    assert gpus() == [Gpu("NVIDIA A", 80.0, 40.0, 9.0, "580.1")]


def test_a_machine_without_a_driver_has_no_gpu(listed: Path) -> None:
    assert gpus() == []
    says(listed, "echo broken; exit 9")
    assert gpus() == []


def test_every_machine_has_something(tmp_path: Path) -> None:
    assert cores() >= 1
    assert memory() > 0
    assert free_disk(tmp_path / "not" / "made" / "yet") == pytest.approx(free_disk(tmp_path), abs=1)
