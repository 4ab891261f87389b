"""foveate: spend a multimodal model's tokens where it looks, within a latency budget.

    import foveate

    graph = foveate.trace("path/to/model")                    # what the model is
    plan = foveate.plan(graph, budget="ttft<=60%")            # what to do
    with foveate.apply(model, plan):                          # make it so
        model.generate(**inputs)

Every name below is imported at its first use, so `import foveate` costs nothing and has no side effect. The names are
functions: `foveate.plan` is the planner's function and not the schema in `foveate.ir.plan`, which is why no module at
the root may be called `trace`, `plan`, `load`, `apply`, `measure` or `check`: importing it would cover the function.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ir.plan import load
    from .ir.tracing import trace
    from .planner import check, plan
    from .runtime import apply, measure, stream

__version__ = "0.1.0"
__all__ = ["apply", "check", "load", "measure", "plan", "stream", "trace"]

_HOMES = {
    "trace": ".ir.tracing",
    "plan": ".planner",
    "load": ".ir.plan",
    "apply": ".runtime",
    "measure": ".runtime",
    "check": ".planner",
    "stream": ".runtime",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
