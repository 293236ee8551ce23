"""Keeps memory that tensors give back, on Linux: what is mapped anew for every tensor has to be zeroed anew."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of glibc's mallopt, and their defaults: most maps, bytes above which the heap's end is given back.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_DEFAULTS = {_TRIM_THRESHOLD: 128 * 1024, _MMAP_MAX: 65536}


@contextmanager
def kept_memory() -> Iterator[None]:
    """Within it, freed memory stays with the process and is used again; afterwards it goes back to the system."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):  # another C library than glibc
        yield
        return
    assert library is not None
    library.mallopt(_TRIM_THRESHOLD, -1)
    library.mallopt(_MMAP_MAX, 0)
    try:
        yield
    finally:
        for parameter, value in _DEFAULTS.items():
            library.mallopt(parameter, value)
        library.malloc_trim(0)
