"""Gemma 3 and PaliGemma: a fixed number of tokens for each picture, which attend to each other both ways."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ...ir.layout import Layout
from .base import adapter
from .encoder_flow import EncoderFlow
from .tiles import TiledAdapter, square

if TYPE_CHECKING:
    from torch import nn


@adapter
class Gemma3(TiledAdapter):
    """Gemma 3: the grid is averaged down to `mm_tokens_per_image` tokens."""

    model_types = ("gemma3",)

    def tile(self, config: Any) -> Layout:
        """The pooled grid."""
        cells = math.isqrt(config.mm_tokens_per_image)
        return Layout.image(cells, cells)

    def encoder_flow(self, model: nn.Module, modality: str) -> EncoderFlow:
        """Squares of patches are averaged to one token after the tower."""
        config: Any = model.config
        patches = (square(config.vision_config).grid or (1, 1, 1))[1]
        side = patches // math.isqrt(config.mm_tokens_per_image)
        return self.restoring_flow(model, modality, side=side)


@adapter
class PaliGemma(TiledAdapter):
    """PaliGemma: the tower's grid; the whole prompt attends both ways."""

    model_types = ("paligemma",)

    def tile(self, config: Any) -> Layout:
        """The tower's grid."""
        return square(config.vision_config)
