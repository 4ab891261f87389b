"""LLaVA and VipLLaVA: one fixed grid for each picture."""

from __future__ import annotations

from typing import Any

from ...ir.layout import Layout
from .base import adapter
from .tiles import TiledAdapter, square

_CLASS_TOKENS = {"clip_vision_model": 1, "dinov2": 1, "siglip_vision_model": 0}
"""Supported towers and how many prefix tokens ([CLS]) each puts before the patches."""


@adapter
class Llava(TiledAdapter):
    """`LlavaForConditionalGeneration` over a tower of fixed image size."""

    model_types = ("llava",)

    def refusal(self, config: Any) -> str | None:
        """Towers of variable size and several feature layers are not in this row."""
        tower = config.vision_config.model_type
        if tower not in _CLASS_TOKENS:
            return f"its vision tower is {tower!r}, and this row knows {', '.join(_CLASS_TOKENS)}"
        if config.vision_feature_select_strategy == "default" and not _CLASS_TOKENS[tower]:
            return f"strategy 'default' drops the first patch of {tower!r}, which has no [CLS]; set it to 'full'"
        return None

    def tile(self, config: Any) -> Layout:
        """The tower's grid, with [CLS] before it where the strategy keeps it."""
        vision = config.vision_config
        prefix = 0 if config.vision_feature_select_strategy == "default" else _CLASS_TOKENS[vision.model_type]
        grid = square(vision).grid or (1, 1, 1)
        return Layout.image(grid[1], grid[2], prefix=prefix)


@adapter
class VipLlava(TiledAdapter):
    """`VipLlavaForConditionalGeneration`: several feature layers side by side, [CLS] removed."""

    model_types = ("vipllava",)

    def tile(self, config: Any) -> Layout:
        """The tower's grid."""
        return square(config.vision_config)

    def selected_layer(self, config: Any, modality: str) -> int:
        """The earliest of the layers that are read side by side: all must see the same tokens."""
        depth, layers = int(config.vision_config.num_hidden_layers), config.vision_feature_layers
        indices = [layers] if isinstance(layers, int) else layers
        return min(index - 1 if index >= 0 else depth + index for index in indices)
