"""Kernels emitted for a plan: a module of its own for the plan's shapes, and how a live model runs on it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .emitting import emit
    from .loading import Emitted, load

_LAZY = {"emit": "emitting", "Emitted": "loading", "load": "loading"}

__all__ = ["Emitted", "emit", "load"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
