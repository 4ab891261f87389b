"""Freed memory stays with the process inside `kept_memory`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from foveate.common.kept_memory import kept_memory

PROGRAM = """
import ctypes, resource
from foveate.common.kept_memory import kept_memory

library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p

def faults(size=48 << 20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        block = ctypes.c_void_p(library.malloc(ctypes.c_size_t(size)))
        ctypes.memset(block, 1, size)
        library.free(block)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() / size

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

found = [faults()]
with kept_memory():
    found += [faults(), faults()]
    block = library.malloc(ctypes.c_size_t(48 << 20))
    ctypes.memset(block, 1, 48 << 20)
    above = library.malloc(ctypes.c_size_t(48 << 20))
    ctypes.memset(above, 1, 48 << 20)
    library.free(ctypes.c_void_p(block))
    held = resident()
returned = (held - resident()) / (48 << 20)
print(*found, returned, faults(96 << 20))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the GNU C library's allocator")
def test_a_freed_block_is_taken_again_without_page_faults() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, stdout=subprocess.PIPE, text=True)
    before, first, again, returned, after = (float(part) for part in done.stdout.split())
    assert before > 3.5, "every one of four blocks is mapped anew by default"
    assert first < 1.5, "the first block is new"
    assert again < 0.1
    assert returned > 0.9, "what was freed between blocks in use goes back"
    assert after > 3.5, "large blocks are mappings again"


def test_an_error_inside_goes_through() -> None:
    with pytest.raises(KeyError), kept_memory():
        raise KeyError("kept")
