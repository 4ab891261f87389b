"""Collecting between timed runs: new cycles go, old objects are not looked at, and afterwards all is as before."""

from __future__ import annotations

import gc
import weakref

import pytest

from foveate.common.garbage import quick_collections


class Node:
    """Holds itself, so that only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


def test_new_cycles_are_freed_and_old_objects_left_alone() -> None:
    with quick_collections() as collect:
        assert gc.get_freeze_count() > 1000
        gone = weakref.ref(Node())
        assert gone() is not None
        collect()
        assert gone() is None
    assert gc.get_freeze_count() == 0


def test_cycles_from_before_are_freed_at_the_start() -> None:
    gone = weakref.ref(Node())
    with quick_collections():
        assert gone() is None


def test_a_run_that_fails_leaves_nothing_frozen() -> None:
    with pytest.raises(ZeroDivisionError), quick_collections():
        _ = 1 / 0
    assert gc.get_freeze_count() == 0
