"""Qwen2-VL, Qwen2.5-VL and their kin: pictures and clips of any size on a (time, height, width) grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ...ir.layout import Layout
from .base import Adapter, Medium, adapter


@adapter
class QwenVL(Adapter):
    """Grids come with the call as `image_grid_thw` and `video_grid_thw`; groups of patches are merged to one token."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_vl", "qwen2_5_vl")
    modalities = ("image", "video")

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """One medium for each row of a grid that comes with pixels or with precomputed features."""
        found, precomputed = {}, arguments.get("mm_encoder_outputs") or {}
        for modality, pixels in (("image", "pixel_values"), ("video", "pixel_values_videos")):
            if arguments.get(pixels) is not None or precomputed.get(modality) is not None:
                found[modality] = self._grids(config, arguments, modality)
        return found

    def _grids(self, config: Any, arguments: Mapping[str, Any], modality: str) -> list[Medium]:
        grids = arguments[f"{modality}_grid_thw"].tolist()
        merges = self.merge_sizes(config, arguments, modality, len(grids))
        return [Medium(_layout(grid, merge)) for grid, merge in zip(grids, merges, strict=True)]

    def merge_sizes(self, config: Any, arguments: Mapping[str, Any], modality: str, count: int) -> list[int]:
        """Patches a side that are merged to one token, for each medium."""
        return [int(config.vision_config.spatial_merge_size)] * count


@adapter
class VideoLlama3(QwenVL):
    """VideoLLaMA 3: merge sizes come with the call."""

    model_types = ("video_llama_3",)

    def merge_sizes(self, config: Any, arguments: Mapping[str, Any], modality: str, count: int) -> list[int]:
        """`image_merge_sizes` and `video_merge_sizes`."""
        return [int(size) for size in arguments[f"{modality}_merge_sizes"].tolist()]


def _layout(patches: Sequence[int], merge: int) -> Layout:
    """The grid of tokens over (time, height, width) patches."""
    grid = (int(patches[0]), int(patches[1]) // merge, int(patches[2]) // merge)
    return Layout(grid[0] * grid[1] * grid[2], grid)
