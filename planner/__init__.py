"""What to do: search space, conflicts, fidelity, search, verification; the gate and the explanation.

Names are imported at their first use, so that importing this package loads neither torch nor optuna.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .explaining.explanation import explain
    from .gating.gate import Verdict, check
    from .planning import plan

__all__ = ["Verdict", "check", "explain", "plan"]

# No module here may be called `plan`, `check` or `explain`: importing it would cover the function.
_HOMES = {"plan": "planning", "check": "gating.gate", "Verdict": "gating.gate", "explain": "explaining.explanation"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
