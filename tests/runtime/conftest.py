"""Tiny models are fastest on one thread, and steady on a busy machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from foveate.common.timing import fixed_threads


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with fixed_threads(1):
        yield
