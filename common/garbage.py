"""Garbage collected between timed runs, quickly, so that what earlier runs left in cycles does not fill the heap."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def quick_collections() -> Iterator[Callable[[], object]]:
    """Inside, collecting looks at new objects alone, which takes next to no time; yields the function that does it.

    Python collects tensors that reference cycles hold only when many objects have gathered, whatever memory they take.
    What was frozen before counts as any other object afterwards.

    Example:
        with quick_collections() as collect:
            for run in runs:
                collect()
                run()
    """
    gc.collect()
    gc.freeze()
    try:
        yield gc.collect
    finally:
        gc.unfreeze()
