"""Families of variable resolution: patches of every medium end to end, with a grid time x height x width for each."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ..layout import Layout
from ..workload import Workload
from .inputs import channels, first, numbers, pictures, shape, vision_config
from .row import Media, Row
from .table import row

if TYPE_CHECKING:
    import torch
    from torch import nn

Resize = Callable[..., tuple[int, int]]
"""(height, width) and the keywords factor, least and most to a new (height, width)."""

_MIN_PIXELS, _MAX_PIXELS = 56 * 56, 28 * 28 * 1280

LIMITS: dict[str, tuple[int, int]] = {
    "ernie4_5_vl_moe": (56 * 56, 28 * 28 * 6177),
    "glm4v": (112 * 112 // 2, 28 * 28 * 15000 // 2),
    "glm46v": (112 * 112 // 2, 28 * 28 * 15000 // 2),
    "glm4v_moe": (112 * 112 // 2, 28 * 28 * 15000 // 2),
    "glm5_next": (16 * 28 * 28, 8000 * 28 * 28),
    "glmga": (112 * 112 // 2, 28 * 28 * 15000 // 2),
    "hunyuan_vl": (512 * 512, 2048 * 2048),
    "minimax_m3_vl": (4 * 28 * 28, 451584),
    "paddleocr_vl": (384 * 384, 1536 * 1536),
}
"""Least and most pixels of a picture by model type where the processor's defaults are not Qwen2-VL's."""

CLIP_LIMITS: dict[str, tuple[int, int]] = {
    "ernie4_5_vl_moe": (299 * 28 * 28, 1196 * 28 * 28),
    "minimax_m3_vl": (4 * 28 * 28, 768 * 28 * 28),
}
"""The same for each frame of a clip."""

VOLUME_LIMITS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("glm4v", "glm46v", "glm4v_moe", "glm_ocr", "glmga"), (112 * 112, 28 * 28 * 2 * 30000)),
    **dict.fromkeys(("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"), (128 * 32 * 32, 32 * 32 * 768)),
}
"""Least and most pixels of a whole clip, for processors that bound its volume."""


def pixel_limits(config: Any, modality: str, frames: int, processor: Mapping[str, Any]) -> tuple[int, int]:
    """Least and most pixels of a picture or frame: the checkpoint's own processor settings, else the defaults."""
    kind = str(config.model_type)
    if modality == "video":
        clip = (processor.get("video_processor") or {}).get("size") or {}
        if clip.get("shortest_edge") and clip.get("longest_edge") and kind not in VOLUME_LIMITS:
            return int(clip["shortest_edge"]), int(clip["longest_edge"])
        if kind in VOLUME_LIMITS:
            least, most = VOLUME_LIMITS[kind]
            return least // frames, most // frames
        return CLIP_LIMITS.get(kind, (128 * 28 * 28, 768 * 28 * 28))
    size = processor.get("size") or {}
    own = processor.get("min_pixels", size.get("shortest_edge")), processor.get("max_pixels", size.get("longest_edge"))
    least, most = LIMITS.get(kind, (_MIN_PIXELS, _MAX_PIXELS))
    return int(own[0] or least), int(own[1] or most)


def smart_resize(height: int, width: int, *, factor: int, least: int, most: int) -> tuple[int, int]:
    """The size nearest to (height, width) in whole multiples of `factor` with `least` to `most` pixels.

    The rule of Qwen2-VL's processor (arXiv:2409.12191, section 2.1) and of the families that took it over.
    """
    tall, wide = max(factor, round(height / factor) * factor), max(factor, round(width / factor) * factor)
    if tall * wide > most:
        shrink = math.sqrt(height * width / most)
        tall = max(factor, math.floor(height / shrink / factor) * factor)
        wide = max(factor, math.floor(width / shrink / factor) * factor)
    elif tall * wide < least:
        grow = math.sqrt(least / (height * width))
        tall, wide = math.ceil(height * grow / factor) * factor, math.ceil(width * grow / factor) * factor
    return tall, wide


def covering(height: int, width: int, *, factor: int, least: int, most: int) -> tuple[int, int]:
    """The smallest size in whole multiples of `factor` that holds the picture, scaled to `least` to `most` pixels.

    The rule of GLM-5's processor: the content keeps its aspect ratio and what is left of the canvas is padding.
    """

    def canvas(tall: int) -> tuple[int, int]:
        wide = max(1, math.floor(width * tall / height))
        return -(-tall // factor) * factor, -(-wide // factor) * factor

    def pixels(tall: int) -> int:
        return math.prod(canvas(tall))

    tall, wide = -(-height // factor) * factor, -(-width // factor) * factor
    if tall * wide < least:
        grow = math.sqrt(least / (height * width))
        tall, wide = (-(-math.ceil(side * grow) // factor) * factor for side in (height, width))
    if tall * wide <= most:
        return tall, wide
    return canvas(bisect.bisect_right(range(1, height + 1), most, key=pixels))


def merge_of(config: Any) -> int:
    """Patches along one side that the merger joins."""
    vision = vision_config(config)
    merge = first(vision, "spatial_merge_size", "merge_size", "merge_kernel_size", default=None)
    merge = merge if merge is not None else first(config, "spatial_merge_size", "merge_size", default=2)
    return int(merge[0] if isinstance(merge, (list, tuple)) else merge)


def patch_of(config: Any) -> int:
    """Pixels along one side of a patch."""
    patch = first(vision_config(config), "patch_size", default=14)
    return int(patch[0] if isinstance(patch, (list, tuple)) else patch)


def grid_media(
    row: Row, modality: str, workload: Workload, *, merge: int | None = None, resize: Resize | None = None
) -> Media:
    """Flattened patches (patches, channels x time x height x width) and one grid row for each medium.

    `merge` patches along one side become a token, by default as many as the configuration says; `resize` is the
    processor's rule for pictures, by default `smart_resize`.
    """
    config = row.config
    vision = vision_config(config)
    merge, patch = merge or merge_of(config), patch_of(config)
    frames_joined = int(first(vision, "temporal_patch_size", default=1))
    grids = []
    sizes = pictures(workload) if modality == "image" else [(v.height, v.width) for v in workload.videos]
    for number, (height, width) in enumerate(sizes):
        shown = 1 if modality == "image" else workload.videos[number].frames
        least, most = pixel_limits(config, modality, shown, row.processor)
        fit = resize if resize is not None and modality == "image" else smart_resize
        tall, wide = fit(height, width, factor=patch * merge, least=least, most=most)
        frames = 1 if modality == "image" else max(1, -(-shown // frames_joined))
        grids.append((frames, tall // patch, wide // patch))
    name = "pixel_values" if modality == "image" else "pixel_values_videos"
    rows = sum(math.prod(grid) for grid in grids)
    width = channels(vision) * frames_joined * patch * patch
    arguments = {name: shape(rows, width), f"{modality}_grid_thw": numbers(grids)}
    layouts = tuple(merged(grid, merge) for grid in grids)
    return Media(arguments, layouts)


def merged(grid: tuple[int, int, int], merge: int) -> Layout:
    """The layout after merging `merge` x `merge` patches."""
    time, height, width = grid[0], grid[1] // merge, grid[2] // merge
    return Layout(time * height * width, (time, height, width))


@row
class VideoLlama3(Row):
    """VideoLLaMA 3: pictures are not merged, frames of a clip are merged two by two, sizes given with the call."""

    model_types: ClassVar[tuple[str, ...]] = ("video_llama_3",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """Patches, grids and merge sizes."""
        merge = 1 if modality == "image" else 2
        found = grid_media(self, modality, workload, merge=merge)
        count = len(found.arguments[f"{modality}_grid_thw"])
        return Media({**found.arguments, f"{modality}_merge_sizes": numbers([merge] * count)}, found.layouts)


@row
class FramesApart(Row):
    """Qwen3-VL and its kin: every frame of a clip stands alone between time stamps (arXiv:2511.21631)."""

    model_types: ClassVar[tuple[str, ...]] = (
        *("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "cosmos3_omni", "cosmos3_edge", "qwen4_exp"),
        "cohere_compass",
    )

    def pieces(self, modality: str, layout: Layout) -> list[int]:
        """One run of placeholders for each frame."""
        if modality != "video" or layout.grid is None:
            return [layout.total]
        time, height, width = layout.grid
        return [height * width] * time


_OMNI_MARKS = {"vision_start_token_id": 151652, "vision_end_token_id": 151653, "audio_start_token_id": 151647}
"""Ids of the marks around media in Qwen's omni vocabularies."""


@row
class OmniThinker(Row):
    """The thinkers of Qwen2.5-Omni and Qwen3-Omni: positions are counted from the marks that open each medium."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker")

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """As usual; clips say how long a grid step lasts."""
        import torch

        found = super().media(model, modality, workload)
        if modality == "video":
            found.arguments["video_second_per_grid"] = torch.ones(len(workload.videos))
        return found

    def text(self, ids: torch.Tensor, kinds: torch.Tensor, model: nn.Module) -> dict[str, Any]:
        """As usual; marks that this transformers leaves out of the configuration are put into the copy."""
        for name, value in _OMNI_MARKS.items():
            if getattr(model.config, name, None) is None:
                setattr(model.config, name, value)
        return super().text(ids, kinds, model)

    def closing(self, modality: str) -> bool:
        """Each medium is closed by a token of its own."""
        return True

    def opening(self, modality: str) -> int | None:
        """`vision_start_token_id` or `audio_start_token_id`."""
        name = "audio_start_token_id" if modality == "audio" else "vision_start_token_id"
        return int(first(self.config, name, default=_OMNI_MARKS[name]))


@row
class Glm4v(FramesApart):
    """GLM-4V and its kin: frames apart, and the picture's placeholder for clips as well."""

    model_types: ClassVar[tuple[str, ...]] = ("glm4v", "glm46v", "glm4v_moe", "glm_ocr", "glmga")

    def placeholder(self, modality: str) -> int | None:
        """`image_token_id` for both."""
        return super().placeholder("image")

    def together(self, modalities: tuple[str, ...]) -> tuple[str, ...]:
        """Pictures and clips exclude each other in one call, since they share their placeholder."""
        return modalities[:1]


@row
class Glm5(Glm4v):
    """GLM-5: pictures are padded to whole tokens and never stretched."""

    model_types: ClassVar[tuple[str, ...]] = ("glm5_next",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """Patches and grids of the padded canvas."""
        return grid_media(self, modality, workload, resize=covering)


@row
class Ernie(Row):
    """ERNIE 4.5 VL: the resampler joins two frames as well."""

    model_types: ClassVar[tuple[str, ...]] = ("ernie4_5_vl_moe",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """Grids as usual; half as many time steps in the decoder."""
        found = grid_media(self, modality, workload)
        if modality == "image":
            return found
        grids = [tuple(grid) for grid in found.arguments["video_grid_thw"].tolist()]
        joined = int(first(vision_config(self.config), "temporal_merge_size", default=2))
        return Media(found.arguments, tuple(merged((t // joined, h, w), merge_of(self.config)) for t, h, w in grids))
