"""Small tensors are fastest on one thread; hypothesis draws the same examples every time and watches no clock."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest

from foveate.common.timing import fixed_threads

hypothesis.settings.register_profile("steady", deadline=None, derandomize=True, max_examples=40)
hypothesis.settings.load_profile("steady")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with fixed_threads(1):
        yield
