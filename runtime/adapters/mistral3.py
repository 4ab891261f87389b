"""Mistral 3 and Pixtral: pictures of any size; break tokens between rows are text to us."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...ir.layout import Layout
from .base import Adapter, Medium, adapter
from .tiles import side


@adapter
class Mistral3(Adapter):
    """The grid of a picture follows from its row of `image_sizes`; squares of patches are merged to one token."""

    model_types = ("mistral3",)

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """One medium for each row of `image_sizes` (height, width in pixels)."""
        precomputed = (arguments.get("mm_encoder_outputs") or {}).get("image")
        if arguments.get("pixel_values") is None and precomputed is None:
            return {}
        step = side(config.vision_config.patch_size) * config.spatial_merge_size
        sizes = arguments["image_sizes"]
        rows = sizes.tolist() if hasattr(sizes, "tolist") else list(sizes)
        return {"image": [Medium(Layout.image(int(height) // step, int(width) // step)) for height, width in rows]}
