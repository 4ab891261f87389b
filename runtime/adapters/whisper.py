"""Whisper: the decoder reads the encoder's output by cross-attention, so sounds are compressed in the encoder only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...ir.layout import Layout
from .base import Adapter, Medium, adapter

if TYPE_CHECKING:
    from torch import nn


@adapter
class Whisper(Adapter):
    """Windows of 30 s; position embeddings are added before the first layer, so what remains keeps its place."""

    model_types = ("whisper",)
    modalities = ("audio",)
    in_sequence = False

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """No media token stands in the decoder's sequence."""
        return {}

    def encoder(self, model: nn.Module, modality: str) -> nn.Module:
        """The encoder stack."""
        return model.get_encoder()  # type: ignore[operator, no-any-return]

    def encoder_layers(self, model: nn.Module, modality: str) -> Any:
        """Its layers."""
        return self.encoder(model, modality).layers

    def encoder_layout(self, config: Any, modality: str) -> Layout:
        """One token for each two frames of the window."""
        return Layout(int(config.max_source_positions))

    def selected_layer(self, config: Any, modality: str) -> int:
        """The last one."""
        return int(config.encoder_layers) - 1

    def projector(self, model: nn.Module, modality: str) -> None:
        """The encoder's output goes to cross-attention as it is."""
        return
