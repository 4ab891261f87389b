"""Freed memory kept for the next run while something is timed, so that a new process and an old one are as fast."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
"""What `mallopt` of the GNU C library calls its parameters."""

_NEVER, _MAPPINGS = -1, 65536
_LARGEST_THRESHOLD = 32 << 20
"""Where the library's own adjusting ends: larger blocks are mappings of their own, twice as much is kept unused."""


@contextmanager
def kept_memory() -> Iterator[None]:
    """Inside, memory that is freed stays with the process and large blocks come from its heap.

    The GNU C library hands large freed blocks back to the system until the heap is fragmented enough to hold them, so
    a young process pays page faults for every large activation. They make an uncompressed prefill seem slower, and a
    plan better, than both are in a process that serves requests. Afterwards what was kept goes back to the system, of
    which a planner's hours would gather gigabytes between blocks in use, and the library does what its own adjusting
    would have come to. Elsewhere, and for a GPU's memory, this does nothing.
    """
    library = _library()
    if library is None:
        yield
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        library.mallopt(_MMAP_MAX, _MAPPINGS)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_THRESHOLD)
        library.malloc_trim(0)


@cache
def _library() -> Any:
    """The C library of this process where it is GNU's, else None."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") and hasattr(library, "mallopt") else None
