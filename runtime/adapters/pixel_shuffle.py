"""Families that fold patches into channels before the projector: a tile's side shrinks by a fixed factor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...ir.layout import Layout
from .base import adapter
from .tiles import TiledAdapter, square


@adapter
class InternVL(TiledAdapter):
    """InternVL: `downsample_ratio` is the factor by which the side shrinks."""

    model_types = ("internvl",)

    def tile(self, config: Any) -> Layout:
        """The shuffled grid of one 448 px tile."""
        return square(config.vision_config, factor=1 / config.downsample_ratio)


@adapter
class AyaVision(TiledAdapter):
    """Aya Vision and Command A Vision: `downsample_factor`."""

    model_types = ("aya_vision", "cohere2_vision")

    def tile(self, config: Any) -> Layout:
        """The shuffled grid of one tile."""
        return square(config.vision_config, factor=config.downsample_factor)


@adapter
class Idefics3(TiledAdapter):
    """Idefics3 and SmolVLM: `scale_factor`; rows of a batch are filled with black pictures, which are left out."""

    model_types = ("idefics3", "smolvlm")

    def tile(self, config: Any) -> Layout:
        """The shuffled grid of one tile."""
        return square(config.vision_config, factor=config.scale_factor)

    def tiles(self, arguments: Mapping[str, Any]) -> int:
        """The pictures of (rows, pictures, channels, height, width) that hold anything but zeros."""
        pixels = arguments["pixel_values"]
        return int((pixels != 0).flatten(2).any(dim=2).sum()) if pixels.ndim == 5 else int(pixels.shape[0])
