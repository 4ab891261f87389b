"""Families that fold patches into channels before the projector: a tile's side shrinks by a fixed factor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...ir.layout import Layout
from .base import adapter
from .encoder_flow import EncoderFlow
from .tiles import TiledAdapter, square

if TYPE_CHECKING:
    from torch import nn


@adapter
class InternVL(TiledAdapter):
    """InternVL and Qianfan-OCR: `downsample_ratio` is the factor by which the side shrinks."""

    model_types = ("internvl", "qianfan_ocr")

    def tile(self, config: Any) -> Layout:
        """The shuffled grid of one 448 px tile."""
        return square(config.vision_config, factor=1 / config.downsample_ratio)

    def encoder_flow(self, model: nn.Module, modality: str) -> EncoderFlow:
        """Patches are folded before the projector, which maps units one by one."""
        config: Any = model.config
        layer = config.vision_feature_layer
        return self.restoring_flow(
            model,
            modality,
            side=round(1 / config.downsample_ratio),
            reads=None if layer == -1 else layer,
            projector=self.projector(model, modality),
        )


@adapter
class AyaVision(TiledAdapter):
    """Aya Vision and Command A Vision: `downsample_factor`."""

    model_types = ("aya_vision", "cohere2_vision")

    def tile(self, config: Any) -> Layout:
        """The shuffled grid of one tile."""
        return square(config.vision_config, factor=config.downsample_factor)

    def encoder_flow(self, model: nn.Module, modality: str) -> EncoderFlow:
        """The projector folds patches itself, so it runs on all of them."""
        config: Any = model.config
        reads = getattr(config, "vision_feature_layer", None)
        return self.restoring_flow(model, modality, side=config.downsample_factor, reads=reads)


@adapter
class Idefics3(TiledAdapter):
    """Idefics3 and SmolVLM: `scale_factor`; rows of a batch are filled with black pictures, which are left out."""

    model_types = ("idefics3", "smolvlm")

    def tile(self, config: Any) -> Layout:
        """The shuffled grid of one tile."""
        return square(config.vision_config, factor=config.scale_factor)

    def encoder_flow(self, model: nn.Module, modality: str) -> EncoderFlow:
        """The connector folds patches itself, so it runs on all of them."""
        config: Any = model.config
        return self.restoring_flow(model, modality, side=config.scale_factor)

    def tiles(self, arguments: Mapping[str, Any]) -> int:
        """The pictures of (rows, pictures, channels, height, width) that hold anything but zeros."""
        pixels = arguments["pixel_values"]
        return int((pixels != 0).flatten(2).any(dim=2).sum()) if pixels.ndim == 5 else int(pixels.shape[0])
