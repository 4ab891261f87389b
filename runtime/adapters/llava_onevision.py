"""LLaVA-OneVision: any resolution for a single picture, one grid for each of several, pooled frames for clips."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...ir.layout import Layout
from .base import Adapter, Medium, adapter
from .llava_next import picture
from .tiles import square


@adapter
class LlavaOnevision(Adapter):
    """Pictures end rows with newline tokens; a clip ends with one."""

    model_types = ("llava_onevision",)
    modalities = ("image", "video")

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """One medium for each row of `image_sizes`, and for each clip."""
        found, precomputed = {}, arguments.get("mm_encoder_outputs") or {}
        if arguments.get("pixel_values") is not None or precomputed.get("image") is not None:
            most = int(config.vision_aspect_ratio.removeprefix("anyres_max_"))
            sizes, alone = arguments["image_sizes"].tolist(), _tiled(arguments)
            found["image"] = [
                picture(config, size, most_tiles=most, tiled=tiled) for size, tiled in zip(sizes, alone, strict=True)
            ]
        frames, clips = self._clips(config, arguments, precomputed.get("video"))
        if clips:
            found["video"] = [self._clip(config, frames)] * clips
        return found

    def _clips(self, config: Any, arguments: Mapping[str, Any], precomputed: Any) -> tuple[int, int]:
        """Frames of each clip, and how many clips there are."""
        if precomputed is not None:
            return precomputed.pooler_output.shape[1] // self._cells(config) ** 2, len(precomputed.pooler_output)
        pixels = arguments.get("pixel_values_videos")
        return (0, 0) if pixels is None else (pixels.shape[1], pixels.shape[0])

    def _clip(self, config: Any, frames: int) -> Medium:
        cells = self._cells(config)
        count = frames * cells * cells
        return Medium(Layout(count, (frames, cells, cells), separators=1), (count,))

    def _cells(self, config: Any) -> int:
        return math.ceil((square(config.vision_config).grid or (1, 1, 1))[1] / 2)


def _tiled(arguments: Mapping[str, Any]) -> list[bool]:
    """Which pictures are cut into tiles: those that are alone in their prompt."""
    counts = arguments.get("batch_num_images")
    if counts is None:
        return [True] * len(arguments["image_sizes"])
    return [count == 1 for count in counts.tolist() for _ in range(count)]
