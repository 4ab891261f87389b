"""What `generate` may not do under a plan: assisted decoding, refused before the model runs."""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

from ..common.errors import BadInput

_ASSISTED = ("assistant_model", "prompt_lookup_num_tokens", "assistant_early_exit")


class GenerationGuard:
    """Stands before a model's `generate` until it is removed.

    Assisted decoding feeds several guessed tokens at a time and crops the cache after those that it rejects, by its own
    count of what the cache holds.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        original: Any = getattr(model, "generate", None)
        if original is None:
            return

        @functools.wraps(original)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            refuse_assistance(kwargs, kwargs.get("generation_config"), getattr(model, "generation_config", None))
            return original(*args, **kwargs)

        model.__dict__["generate"] = guarded

    def remove(self) -> None:
        """Give the model its own method back."""
        self.model.__dict__.pop("generate", None)


def refuse_assistance(arguments: dict[str, Any], *configs: Any) -> None:
    """Refuse the arguments and settings of assisted decoding.

    Raises:
        BadInput: one of them is set; it is named.
    """
    for name in _ASSISTED:
        settings = [arguments.get(name), *(getattr(config, name, None) for config in configs)]
        if any(value is not None for value in settings):
            raise BadInput(f"{name} asks for assisted decoding, which plans do not run with; leave it out")
