"""Llama 3.2 Vision: cross-attention layers read the tiles, so what is dropped leaves the cross-attention states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...ir.layout import Layout
from .base import Adapter, Medium, adapter
from .tiles import square

if TYPE_CHECKING:
    from torch import nn


@adapter
class Mllama(Adapter):
    """Each tile of each picture is a medium: its class token, which stays, and its grid."""

    model_types = ("mllama",)
    in_sequence = False
    cross_attention = True

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """No media token stands in the decoder's sequence."""
        return {}

    def encoder_layout(self, config: Any, modality: str) -> Layout:
        """The grid of one tile after its class token."""
        grid = square(config.vision_config).grid or (1, 1, 1)
        return Layout.image(grid[1], grid[2], prefix=1)

    def encoder(self, model: nn.Module, modality: str) -> nn.Module:
        """The vision model with its tiles and global layers."""
        return getattr(model, "base_model", model).vision_model  # type: ignore[return-value]
