"""What this machine has: GPUs as the driver lists them, processor cores, memory, disk. No engine is imported."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

_QUERY = "name,memory.total,memory.free,compute_cap,driver_version"


class Gpu(NamedTuple):
    """One GPU; memory in GiB."""

    name: str
    memory: float
    free: float
    capability: float
    """CUDA compute capability: 8.0 is the first with bfloat16 arithmetic."""
    driver: str


def gpus() -> list[Gpu]:
    """NVIDIA's GPUs, asked of `nvidia-smi`; none where it is absent or fails."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [gpu for line in listed.splitlines() if (gpu := _gpu(line))]


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> float:
    """Main memory in GiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def free_disk(folder: Path) -> float:
    """GiB free where a folder is, or would be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free / 2**30


def _gpu(line: str) -> Gpu | None:
    """One line of the list; None where the driver does not know one of the numbers ("[N/A]")."""
    try:
        name, total, free, capability, driver = (field.strip() for field in line.split(","))
        return Gpu(name, float(total) / 1024, float(free) / 1024, float(capability), driver)
    except ValueError:
        return None
