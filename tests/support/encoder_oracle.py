"""The oracle for sites inside encoders: the unmodified encoder with the dropped tokens hidden from its attention.

What a later layer of the compressed encoder computes for the tokens that remain is what it would compute if nobody
could attend to the others. Only the attention function is replaced, by plain softmax over the visible keys.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


class Visible:
    """Plain attention in which each of (R, L) tokens sees only `seen` ones and itself; packed runs come in segments."""

    def __init__(self, seen: torch.Tensor) -> None:
        self.seen, self.start = seen, 0

    def __call__(self, module: Any, query: Any, key: Any, value: Any, mask: Any = None, **kwargs: Any) -> Any:
        count = key.shape[2]
        seen = self.seen[:, None, None, self.start : self.start + count]
        self.start = (self.start + count) % self.seen.shape[1]
        scale = kwargs.get("scaling") or query.shape[-1] ** -0.5
        logits = query @ key.mT * scale
        own = torch.eye(count, dtype=torch.bool)
        logits = logits.masked_fill(~(seen | own), float("-inf"))
        if mask is not None:
            logits = logits.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else logits + mask
        return (logits.softmax(-1) @ value).transpose(1, 2).contiguous(), None


@contextmanager
def hidden_in_encoder(layers: Sequence[Any], first: int, seen: torch.Tensor) -> Iterator[None]:
    """Let every attention from layer `first` on see only `seen` (R, L) tokens."""
    changed = []
    for number, layer in enumerate(layers):
        attention = next(m for m in layer.modules() if type(m).__name__.endswith("Attention"))
        if number >= first:
            name = f"oracle_{number}"
            ALL_ATTENTION_FUNCTIONS.register(name, Visible(seen))
            changed.append((attention, attention.config))
            attention.config = copy.copy(attention.config)
            attention.config._attn_implementation_internal = name
    try:
        yield
    finally:
        for attention, config in changed:
            attention.config = config


def grid_tokens(grid: tuple[int, int, int], side: int) -> list[list[int]]:
    """By unit, the places of its side x side tokens where a medium's tokens stand in rows of its whole grid."""
    frames, height, width = grid
    return [
        [
            frame * height * width * side * side + (row * side + i) * width * side + column * side + j
            for i in range(side)
            for j in range(side)
        ]
        for frame in range(frames)
        for row in range(height)
        for column in range(width)
    ]
