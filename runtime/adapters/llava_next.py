"""LLaVA-NeXT and LLaVA-NeXT-Video: a base view, then tiles of any resolution with a newline token after each row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...ir.layout import Layout
from .base import Adapter, Medium, adapter
from .tiles import square


@adapter
class LlavaNext(Adapter):
    """The tiles of a picture and what remains of them after unpadding follow from its row of `image_sizes`."""

    model_types = ("llava_next",)

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """One medium for each row of `image_sizes` (height, width in pixels)."""
        precomputed = (arguments.get("mm_encoder_outputs") or {}).get("image")
        if arguments.get("pixel_values") is None and precomputed is None:
            return {}
        return {"image": [picture(config, size) for size in arguments["image_sizes"].tolist()]}


@adapter
class LlavaNextVideo(LlavaNext):
    """Clips have no newlines; each frame's grid is pooled."""

    model_types = ("llava_next_video",)
    modalities = ("image", "video")

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """Pictures as LLaVA-NeXT's, and one medium for each clip."""
        found, clips = super().media(config, arguments), arguments.get("pixel_values_videos")
        precomputed = (arguments.get("mm_encoder_outputs") or {}).get("video")
        cells = math.ceil((square(config.vision_config).grid or (1, 1, 1))[1] / config.spatial_pool_stride)
        if precomputed is not None:
            tokens = precomputed.pooler_output.shape[1]
            found["video"] = [Medium(_clip(tokens // cells**2, cells))] * len(precomputed.pooler_output)
        elif clips is not None:
            found["video"] = [Medium(_clip(clips.shape[1], cells))] * clips.shape[0]
        return found


def _clip(frames: int, cells: int) -> Layout:
    return Layout(frames * cells * cells, (frames, cells, cells))


def picture(config: Any, size: tuple[int, int], *, most_tiles: int | None = None, tiled: bool = True) -> Medium:
    """The tokens of one picture of `size` (height, width).

    Args:
        most_tiles: LLaVA-OneVision shrinks the detail view to about so many tiles' worth of tokens.
        tiled: whether it is cut into tiles at all; one of several pictures of a prompt is not.
    """
    from transformers.models.llava_next.modeling_llava_next import get_anyres_image_grid_shape

    base = square(config.vision_config)
    cells = (base.grid or (1, 1, 1))[1]
    if not tiled:
        return Medium(Layout(base.count, base.grid, separators=1), (base.count,))
    pinpoints, image_size = config.image_grid_pinpoints, config.vision_config.image_size
    shape: Any = get_anyres_image_grid_shape
    rows, columns = shape(size, pinpoints, image_size)
    height, width = unpadded(rows * cells, columns * cells, size)
    if most_tiles is not None:
        ratio = math.sqrt(height * width / (most_tiles * cells**2))
        height, width = (int(height // ratio), int(width // ratio)) if ratio > 1.1 else (height, width)
    newlines = tuple(base.count + (row + 1) * (width + 1) - 1 for row in range(height))
    return Medium(Layout(base.count + height * width, separators=height), newlines)


def unpadded(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """The part of a (height, width) grid of patches that shows a picture of `size`, as `unpad_image` cuts it.

    Example:
        >>> unpadded(48, 48, (336, 672))
        (24, 48)
    """
    original_height, original_width = size
    if original_width / original_height > width / height:
        padding = (height - int(round(original_height * width / original_width, 7))) // 2
        return height - 2 * padding, width
    padding = (width - int(round(original_width * height / original_height, 7))) // 2
    return height, width - 2 * padding
