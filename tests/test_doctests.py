"""Every example in a docstring runs, through the module's real name (`pytest --doctest-modules` would use another)."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

import layout

# Running `__main__` is what importing it does.
MODULES = [layout.dotted(path) for path in layout.module_files() if path.stem != "__main__"]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_hold(name: str) -> None:
    module = import_module(name)
    assert module.__name__ == name
    assert doctest.testmod(module).failed == 0
