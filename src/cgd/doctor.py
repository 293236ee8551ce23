"""What this machine can run, what is in the way, and how to mend it. No engine is imported.

Basics are what every command needs: the Python version, the package's own requirements and a cache that can be written.
Everything else (an engine that is not installed, versions that clash) is a warning.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from cgd.machine import Gpu, cores, free_disk, gpus, memory
from cgd.models import cache_folder

State = Literal["ok", "warning", "problem"]


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    state: State
    found: str
    mend: str = ""
    """What to do; empty where there is nothing to do."""


_ENGINES = {
    "train": ("training, and backend hf", "torch"),
    "llamacpp": ("backend llamacpp", "xllamacpp"),
    "vllm": ("backend vllm", "vllm"),
    "ray": ("backend ray_pool", "ray"),
    "eval": ("lm-evaluation-harness and Reasoning Gym", "lm-eval"),
    "inspect": ("cgd inspect", "datasette"),
}
"""By extra: what it is for, and the package that tells whether it is installed."""
_VARIABLES = (
    *("CGD_CACHE", "CGD_DATA", "HF_HOME", "HF_HUB_OFFLINE", "HF_TOKEN", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"),
    *("PYTHONPATH", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL", "SSL_CERT_FILE"),
)
_LEAST_DISK = 2.0
"""GiB that the built-in model and its unpacking need, with room for a small run."""


def examine(*, deep: bool = False) -> list[Finding]:
    """Look at this machine and this installation.

    Args:
        deep: also let PyTorch say which device it sees, which takes seconds.
    """
    found = gpus()
    return [
        _python(),
        *_requirements(),
        *_engines(),
        *_graphics(found),
        Finding("processor", "ok", f"{cores()} cores, {memory():.0f} GiB of memory, {platform.machine()}"),
        _cache(cache_folder()),
        _variables(),
        *([_torch_device(found)] if deep else []),
    ]


def works(findings: Iterable[Finding]) -> bool:
    """Whether the basics work."""
    return all(finding.state != "problem" for finding in findings)


def clashes(package: str, extra: str = "") -> Iterator[tuple[Requirement, str | None]]:
    """Requirements of an installed package that the environment does not meet.

    Args:
        package: its name.
        extra: only the requirements that this extra adds; those without any where empty.

    Yields:
        The requirement, and the installed version (None: not installed).
    """
    for requirement in map(Requirement, requires(package) or ()):
        counts = {name: _applies(requirement, name) for name in ("", extra)}
        if not counts[extra] or (extra and counts[""]):
            continue
        installed = _version(requirement.name)
        if installed is None or not requirement.specifier.contains(installed, prereleases=True):
            yield requirement, installed


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _python() -> Finding:
    wanted, present = metadata("cgd")["Requires-Python"], platform.python_version()
    fits = SpecifierSet(wanted).contains(present, prereleases=True)
    mend = "" if fits else f"make the environment with another Python: {wanted}"
    return Finding("python", "ok" if fits else "problem", f"{present} at {sys.prefix}", mend)


def _requirements() -> Iterator[Finding]:
    wrong = list(clashes("cgd"))
    if not wrong:
        yield Finding(f"cgd {version('cgd')}", "ok", "every package that it needs is installed")
    for requirement, installed in wrong:
        yield Finding(requirement.name, "problem", _against(requirement, installed), _install(requirement))


def _engines() -> Iterator[Finding]:
    for extra, (purpose, package) in _ENGINES.items():
        installed = _version(package)
        if installed is None:
            yield Finding(extra, "warning", f"not installed; it is for {purpose}", f"pip install 'cgd[{extra}]'")
            continue
        wrong = list(clashes("cgd", extra))
        # What an engine itself asks for, where it names versions that another engine's package took away.
        wrong += [(need, there) for need, there in clashes(package) if there is not None]
        if not wrong:
            yield Finding(extra, "ok", f"{package} {installed}; for {purpose}")
        for requirement, there in wrong:
            own = "vLLM wants an environment of its own; " if extra == "vllm" else ""
            yield Finding(
                f"{extra}: {requirement.name}", "warning", _against(requirement, there), own + _install(requirement)
            )


def _graphics(found: Sequence[Gpu]) -> Iterator[Finding]:
    if not found:
        yield Finding("gpu", "ok", "none that nvidia-smi lists; models run on the processor, or on Apple's GPU")
    for number, gpu in enumerate(found):
        yield Finding(f"gpu {number}", "ok", f"{gpu.name}, {gpu.free:.0f} of {gpu.memory:.0f} GiB free, {gpu.driver}")
    torch = _version("torch")
    if found and torch and torch.endswith("+cpu"):
        mend = "pip uninstall torch, then install its CUDA build (pytorch.org/get-started)"
        yield Finding("torch", "warning", f"{torch} is built for processors alone: it will not see the GPU", mend)
    if found and os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        yield Finding("CUDA_VISIBLE_DEVICES", "warning", "hides every GPU", "unset CUDA_VISIBLE_DEVICES")


def _cache(folder: Path) -> Finding:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = free_disk(folder)
    mend = "set CGD_CACHE to a folder on a disk with room that you may write to"
    if not there.is_dir() or not os.access(there, os.W_OK):
        return Finding("cache", "problem", f"{folder} can't be written", mend)
    state: State = "ok" if free >= _LEAST_DISK else "warning"
    return Finding("cache", state, f"{folder}, {free:.0f} GiB free", "" if state == "ok" else mend)


def _variables() -> Finding:
    """Names alone: values may be secrets."""
    names = [name for name in sorted(os.environ) if name in _VARIABLES or name.endswith("_API_KEY")]
    return Finding("environment", "ok", f"set: {', '.join(names) or 'nothing that matters'}")


def _torch_device(found: Sequence[Gpu]) -> Finding:
    if _version("torch") is None:
        return Finding("torch device", "warning", "PyTorch is not installed", "pip install 'cgd[train]'")
    from cgd.networks import best_device

    device = best_device()
    blind = bool(found) and device == "cpu"
    mend = "install PyTorch's build for this driver's CUDA version (pytorch.org/get-started)" if blind else ""
    return Finding("torch device", "warning" if blind else "ok", device, mend)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _against(requirement: Requirement, installed: str | None) -> str:
    wanted = f"{requirement.name}{requirement.specifier}"
    return f"{'not installed' if installed is None else installed}; needed: {wanted}"


def _install(requirement: Requirement) -> str:
    return f"pip install '{requirement.name}{requirement.specifier}'"
