"""LLaVA-NeXT and its kin: a picture is cut into tiles of the tower's size after the best of a list of resolutions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

from ..layout import Layout
from ..workload import Workload
from .inputs import channels, numbers, of_one_size, pictures, shape, side_of, vision_config
from .row import Media, Row
from .table import row

if TYPE_CHECKING:
    from torch import nn


def tiling(size: tuple[int, int], pinpoints: Any, side: int) -> tuple[int, int]:
    """(rows, columns) of tiles for a picture of `size`, by the processor's own choice among `pinpoints`."""
    from transformers.image_processing_utils import select_best_resolution

    height, width = select_best_resolution(size, [list(p) for p in pinpoints])
    return height // side, width // side


def unpadded(size: tuple[int, int], rows: int, columns: int, patches: int) -> tuple[int, int]:
    """Patch rows and columns that are left of rows x columns tiles when the padding of the picture is cut away."""
    height, width = size
    tall, wide = rows * patches, columns * patches
    if width / height > wide / tall:
        padding = (tall - int(round(height * (wide / width), 7))) // 2
        return tall - 2 * padding, wide
    padding = (wide - int(round(width * (tall / height), 7))) // 2
    return tall, wide - 2 * padding


@row
class AnyResolution(Row):
    """Tiles and the whole picture, patches of the padding cut away, a newline after each patch row (LLaVA-NeXT)."""

    model_types: ClassVar[tuple[str, ...]] = ("llava_next", "llava_next_video", "granite4_vision")

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (pictures, tiles, channels, side, side) with the pictures' sizes; frames for a clip."""
        vision = vision_config(self.config)
        side = side_of(vision)[0]
        if modality == "video":
            frames = of_one_size([v.frames for v in workload.videos], "clip")
            pixels = shape(len(workload.videos), frames, channels(vision), side, side)
            clip = self.clip(frames, side // vision.patch_size)
            return Media({"pixel_values_videos": pixels}, None if clip is None else (clip,) * len(workload.videos))
        sizes = pictures(workload)
        grids = [tiling(size, self.config.image_grid_pinpoints, side) for size in sizes]
        most = max(r * c + 1 for r, c in grids)
        arguments = {
            "pixel_values": shape(len(sizes), most, channels(vision), side, side),
            "image_sizes": numbers([list(size) for size in sizes]),
        }
        return Media(arguments, self.layouts(sizes, grids))

    def clip(self, frames: int, patches: int) -> Layout | None:
        """The pooled grids of a clip's frames of patches x patches (LLaVA-NeXT-Video); others tell by their encoder."""
        stride = getattr(self.config, "spatial_pool_stride", None)
        if stride is None:
            return None
        cells = math.ceil(patches / stride)
        return Layout(frames * cells * cells, (frames, cells, cells))

    def layouts(self, sizes: list[tuple[int, int]], grids: list[tuple[int, int]]) -> tuple[Layout, ...] | None:
        """Base patches and unpadded patches; one newline a row."""
        vision = vision_config(self.config)
        patches = side_of(vision)[0] // vision.patch_size
        if self.config.model_type == "granite4_vision":  # a Q-Former over windows shrinks each side
            patches = int(patches * Fraction(self.config.downsample_rate))
        found = []
        for size, (rows, columns) in zip(sizes, grids, strict=True):
            tall, wide = unpadded(size, rows, columns, patches)
            found.append(Layout(patches * patches + tall * wide, separators=tall))
        return tuple(found)


@row
class OneVision(AnyResolution):
    """LLaVA-OneVision: as above, shrunk bilinearly to at most `anyres_max_N` tiles."""

    model_types: ClassVar[tuple[str, ...]] = ("llava_onevision",)

    def clip(self, frames: int, patches: int) -> Layout:
        """Frames shrunk to half the side, and one newline after the clip."""
        cells = math.ceil(patches / 2)
        return Layout(frames * cells * cells, (frames, cells, cells), separators=1)

    def layouts(self, sizes: list[tuple[int, int]], grids: list[tuple[int, int]]) -> tuple[Layout, ...] | None:
        """As the processor counts them."""
        vision = vision_config(self.config)
        patches = side_of(vision)[0] // vision.patch_size
        most = int(str(self.config.vision_aspect_ratio).removeprefix("anyres_max_"))
        found = []
        for size, (rows, columns) in zip(sizes, grids, strict=True):
            tall, wide = unpadded(size, rows, columns, patches)
            ratio = (tall * wide / (most * patches * patches)) ** 0.5
            if ratio > 1.1:
                tall, wide = int(tall // ratio), int(wide // ratio)
            found.append(Layout(patches * patches + tall * wide, separators=tall))
        return tuple(found)
