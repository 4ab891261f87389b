"""Families whose pictures, or tiles of pictures, all give the same number of tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ...ir.layout import Layout
from .base import Adapter, Medium
from .encoder_flow import EncoderFlow, dense

if TYPE_CHECKING:
    from torch import nn


class TiledAdapter(Adapter):
    """One layout for every picture or tile; a tile counts as a medium of its own."""

    @abstractmethod
    def tile(self, config: Any) -> Layout:
        """The tokens of one picture or tile."""

    def encoder_layout(self, config: Any, modality: str) -> Layout:
        """The same grid: what is offered inside the encoder is mapped token by token."""
        tile = self.tile(config)
        return Layout(tile.count, tile.grid)

    def restoring_flow(
        self,
        model: nn.Module,
        modality: str,
        *,
        side: int,
        reads: int | None = None,
        projector: nn.Module | None = None,
    ) -> EncoderFlow:
        """A flow of units of side x side patches, all of which stand in their places again where the encoder ends."""
        encoder, config = self.encoder(model, modality), cast(Any, model.config)
        return EncoderFlow(
            encoder,
            self.encoder_layers(model, modality),
            dense(self.encoder_layout(config, modality), side=side),
            last=self.selected_layer(config, modality),
            projector=projector,
            restored=encoder,
            reads=reads,
        )

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """One medium for each leading entry of `pixel_values` or of precomputed encoder outputs."""
        precomputed = (arguments.get("mm_encoder_outputs") or {}).get("image")
        if precomputed is not None:
            count = self.precomputed_tiles(precomputed)
        elif arguments.get("pixel_values") is not None:
            count = self.tiles(arguments)
        else:
            return {}
        return {"image": [Medium(self.tile(config))] * count}

    def tiles(self, arguments: Mapping[str, Any]) -> int:
        """How many tiles the call's pixels hold."""
        return int(arguments["pixel_values"].shape[0])

    def precomputed_tiles(self, outputs: Any) -> int:
        """How many tiles precomputed encoder outputs hold."""
        return len(outputs.pooler_output)


def side(value: Any) -> int:
    """The side of a square size that a configuration gives as a number or as a pair."""
    return int(value if isinstance(value, int) else value[0])


def square(vision: Any, *, factor: float = 1) -> Layout:
    """The grid of a square tower after its side was divided by `factor`."""
    cells = int(side(vision.image_size) // side(vision.patch_size) / factor)
    return Layout.image(cells, cells)
