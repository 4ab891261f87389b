"""DINOv2 behind foveate's runtime, and the pictures that it is shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from real_weights import dinov2_weights, emoji

import foveate
from foveate.ir.layout import Layout
from foveate.ir.plan import Plan

PIXELS = {257: 224, 1370: 518}
LAYER = 8
"""Whose features the decoder is shown, counted as `hidden_states` are."""


@dataclass(frozen=True)
class Pictures:
    """Batches of pictures with all their categories, and the batch size that was chosen for their size."""

    batches: tuple[torch.Tensor, ...]
    names: tuple[str, ...]

    @classmethod
    def drawn(cls, count: int, *, tokens: int) -> Pictures:
        """`count` emoji as large as `tokens` patches and [CLS] need."""
        values, names = emoji.pictures(count, pixels=PIXELS[tokens])
        return cls(values.split(14 if tokens < 1000 else 2), tuple(names))

    def first(self, count: int) -> Pictures:
        """The first `count` of them, a multiple of the batch size."""
        return Pictures(self.batches[: count // len(self.batches[0])], self.names[:count])


class Tower:
    """DINOv2 behind foveate's runtime: a LLaVA whose decoder is shown the features of layer 8."""

    def __init__(self, backbone: Any, tokens: int) -> None:
        self.tokens = tokens
        self.model = dinov2_weights.as_tower(backbone, pixels=PIXELS[tokens], layer=LAYER)
        side = PIXELS[tokens] // dinov2_weights.PATCH
        self.layout = Layout.image(side, side)

    def look(self, pictures: torch.Tensor) -> None:
        """Encode a batch."""
        ids = torch.full((len(pictures), self.tokens), dinov2_weights.PLACEHOLDER)
        ids[:, -1] = 2  # one word follows the patches
        with torch.no_grad():
            self.model(input_ids=ids, pixel_values=pictures)

    @contextmanager
    def watched(self) -> Iterator[list[torch.Tensor]]:
        """The [CLS] tokens (B, D) of the last layer, batch by batch."""
        seen: list[torch.Tensor] = []

        def after(module: Any, args: Any, output: Any) -> None:
            seen.append(output.last_hidden_state[:, 0])

        handle = self.model.model.vision_tower.register_forward_hook(after)
        try:
            yield seen
        finally:
            handle.remove()

    def class_tokens(self, batches: Sequence[torch.Tensor], plan: Plan | None = None) -> torch.Tensor:
        """(pictures, D) under a plan."""
        with foveate.apply(self.model, plan or Plan.of()), self.watched() as seen:
            for batch in batches:
                self.look(batch)
        return torch.cat(seen)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds of the processor, what `work` returns)."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found
