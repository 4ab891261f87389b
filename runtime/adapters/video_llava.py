"""Video-LLaVA: pictures and frames of one fixed size, class tokens and all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ...ir.layout import Layout
from .base import Adapter, Medium, adapter
from .tiles import square

if TYPE_CHECKING:
    from torch import nn


@adapter
class VideoLlava(Adapter):
    """Each frame of a clip keeps its [CLS] among its patches, so a clip is a plain sequence."""

    model_types = ("video_llava",)
    modalities = ("image", "video")

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """One medium for each picture and each clip."""
        found, patches = {}, square(config.vision_config)
        pictures, clips = arguments.get("pixel_values_images"), arguments.get("pixel_values_videos")
        if pictures is not None:
            kept = config.vision_feature_select_strategy != "default"
            grid = patches.grid or (1, 1, 1)
            found["image"] = [Medium(Layout.image(grid[1], grid[2], prefix=int(kept)))] * pictures.shape[0]
        if clips is not None:
            frames, tokens = clips.shape[1], patches.count + 1
            layout = Layout(frames * patches.count, (frames, *(patches.grid or (1, 1, 1))[1:]), separators=frames)
            classes = tuple(frame * tokens for frame in range(frames))
            found["video"] = [Medium(layout, classes)] * clips.shape[0]
        return found

    def encoder(self, model: nn.Module, modality: str) -> nn.Module:
        """Pictures and clips have towers of their own."""
        return cast("nn.Module", getattr(getattr(model, "base_model", model), f"{modality}_tower"))

    def encoder_layout(self, config: Any, modality: str) -> Layout:
        """The grid of a picture or frame."""
        return square(config.vision_config)
