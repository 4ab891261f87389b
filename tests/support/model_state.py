"""Everything that a plan could leave behind in a model: hooks, attributes, methods and configurations."""

from __future__ import annotations

from typing import Any

_OWN = ("_parameters", "_buffers", "_modules", "_forward_pre_hooks", "_forward_hooks")


def state_of(model: Any) -> list[Any]:
    """A record of each module; equal records mean that nothing was added, taken or replaced."""
    return [
        (
            name,
            type(module),
            sorted(attribute for attribute in vars(module) if attribute not in _OWN),
            id(getattr(module, "config", None)),
            sorted(str(hook) for hook in module._forward_pre_hooks.values()),
            sorted(str(hook) for hook in module._forward_hooks.values()),
            [(key, id(value)) for key, value in module._parameters.items()],
        )
        for name, module in model.named_modules()
    ]
