"""Mistral 3, Pixtral and LightOnOCR: pictures of any size; break tokens between rows are text to us."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ...ir.layout import Layout
from .base import Adapter, Medium, adapter
from .encoder_flow import EncoderFlow, Units, grid_groups, packed
from .tiles import side

if TYPE_CHECKING:
    import torch
    from torch import nn


@adapter
class Mistral3(Adapter):
    """The grid of a picture follows from its row of `image_sizes`; squares of patches are merged to one token."""

    model_types = ("mistral3", "lighton_ocr")

    def encoder_flow(self, model: nn.Module, modality: str) -> EncoderFlow:
        """Pictures follow each other in one row; the projector merges squares of patches, so it runs on all of them."""
        encoder, config = cast(Any, self.encoder(model, modality)), cast(Any, model.config)
        return EncoderFlow(
            encoder,
            encoder.transformer.layers,
            partial(_arranged, config),
            last=self.selected_layer(config, modality),
            restored=encoder,
            reads=getattr(config, "vision_feature_layer", None),
        )

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """One medium for each row of `image_sizes` (height, width in pixels)."""
        precomputed = (arguments.get("mm_encoder_outputs") or {}).get("image")
        if arguments.get("pixel_values") is None and precomputed is None:
            return {}
        step = side(config.vision_config.patch_size) * config.spatial_merge_size
        sizes = arguments["image_sizes"]
        rows = sizes.tolist() if hasattr(sizes, "tolist") else list(sizes)
        return {"image": [Medium(Layout.image(int(height) // step, int(width) // step)) for height, width in rows]}


def _arranged(config: Any, arguments: Mapping[str, Any], states: torch.Tensor, smaller: Layout | None) -> list[Units]:
    """The units of a run: squares of each picture's patches, which stand in rows, picture after picture.

    How large the pictures are the run's own sizes say, `smaller` or not.
    """
    merge, patch = config.spatial_merge_size, side(config.vision_config.patch_size)
    sizes = arguments["image_sizes"]
    layouts: list[Layout] = []
    places: list[torch.Tensor] = []
    first = 0
    for height, width in sizes.tolist() if hasattr(sizes, "tolist") else sizes:
        layout = Layout.image(int(height) // (patch * merge), int(width) // (patch * merge))
        groups = grid_groups(layout.grid or (1, 1, 1), merge, device=states.device)
        layouts.append(layout)
        places.append(groups + first)
        first += groups.numel()
    return packed(layouts, places)
