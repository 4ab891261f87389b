"""Which layers of a decoder attend to their whole past, and which to a window of it, as its configuration says."""

from __future__ import annotations

from typing import Any

_WINDOWED = ("sliding_attention", "chunked_attention")


def windowed(config: Any) -> bool:
    """Whether any layer of a decoder attends to a window of its past only."""
    types = getattr(config, "layer_types", None)
    if types is not None:
        return any(kind in _WINDOWED for kind in types)
    return any(getattr(config, name, None) is not None for name in ("sliding_window", "attention_chunk_size"))


def full_layers(config: Any) -> list[int]:
    """The layers of a decoder that attend to their whole past, and so cache all of it."""
    types = getattr(config, "layer_types", None)
    if types is None:
        return [] if windowed(config) else list(range(config.num_hidden_layers))
    return [number for number, kind in enumerate(types) if kind == "full_attention"]
