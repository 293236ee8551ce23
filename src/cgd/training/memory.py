"""Keeps memory that tensors give back, on Linux: what is mapped anew for every tensor has to be zeroed anew."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of glibc's mallopt: bytes at the heap's end that are given back, bytes that get a map of their own, maps.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_KEEP = {_TRIM_THRESHOLD: -1, _MMAP_MAX: 0}
# The thresholds that glibc finds by itself in a process with large tensors; it stops looking once they are set.
_USUAL = {_TRIM_THRESHOLD: 64 * 2**20, _MMAP_THRESHOLD: 32 * 2**20, _MMAP_MAX: 65536}


@contextmanager
def kept_memory() -> Iterator[None]:
    """Within it, freed memory stays with the process and is used again; afterwards it goes back to the system."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):  # another C library than glibc
        yield
        return
    assert library is not None
    for parameter, value in _KEEP.items():
        library.mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in _USUAL.items():
            library.mallopt(parameter, value)
        gc.collect()  # models and trainers refer to each other in circles
        library.malloc_trim(0)
