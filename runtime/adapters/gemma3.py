"""Gemma 3 and PaliGemma: a fixed number of tokens for each picture, which attend to each other both ways."""

from __future__ import annotations

import math
from typing import Any

from ...ir.layout import Layout
from .base import adapter
from .tiles import TiledAdapter, square


@adapter
class Gemma3(TiledAdapter):
    """Gemma 3: the grid is averaged down to `mm_tokens_per_image` tokens."""

    model_types = ("gemma3",)

    def tile(self, config: Any) -> Layout:
        """The pooled grid."""
        cells = math.isqrt(config.mm_tokens_per_image)
        return Layout.image(cells, cells)


@adapter
class PaliGemma(TiledAdapter):
    """PaliGemma: the tower's grid; the whole prompt attends both ways."""

    model_types = ("paligemma",)
    inside_encoder = True

    def tile(self, config: Any) -> Layout:
        """The tower's grid."""
        return square(config.vision_config)
