"""Make it so: apply a plan to a live model, and measure it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .resolve import resolve, resolved_plan
from .support import check_fits

if TYPE_CHECKING:
    from .handle import Handle, apply
    from .measuring import Figures, Measurement, compare, measure, ratio
    from .streaming import ClipStream, stream

_LAZY = {
    "Handle": "handle",
    "apply": "handle",
    "Figures": "measuring",
    "Measurement": "measuring",
    "compare": "measuring",
    "measure": "measuring",
    "ratio": "measuring",
    "ClipStream": "streaming",
    "stream": "streaming",
}

__all__ = [
    "ClipStream",
    "Figures",
    "Handle",
    "Measurement",
    "apply",
    "check_fits",
    "compare",
    "measure",
    "ratio",
    "resolve",
    "resolved_plan",
    "stream",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
