"""Gemma 4: pictures as large as a budget of tokens allows, in rows of patches padded to that budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from ..workload import Workload
from .grids import merged, patch_of
from .inputs import first, numbers, pictures, shape, vision_config
from .row import Media, Row
from .table import row

if TYPE_CHECKING:
    import torch
    from torch import nn

_TOKENS, _FRAME_TOKENS = 280, 70
"""Most tokens of a picture and of a frame, by the processors' defaults."""


def budgeted(size: tuple[int, int], unit: int, tokens: int) -> tuple[int, int]:
    """(rows, columns) of units of `unit` pixels: the picture scaled, up or down, to at most `tokens` of them."""
    height, width = size
    scale = math.sqrt(tokens * unit * unit / (height * width))
    rows, columns = math.floor(scale * height / unit), math.floor(scale * width / unit)
    if rows == 0:
        return 1, min(width // height, tokens)
    return (min(height // width, tokens), 1) if columns == 0 else (rows, columns)


def positions(rows: int, columns: int, slots: int) -> torch.Tensor:
    """(slots, 2) int64 (column, row) of each patch in row-major order, -1 where nothing stands."""
    import torch

    places = torch.full((slots, 2), -1)
    grid = torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="xy")
    places[: rows * columns] = torch.stack(grid, dim=-1).reshape(-1, 2)
    return places


@row
class Gemma4(Row):
    """Gemma 4: patches with their positions, pooled three by three; sound frames before channels."""

    model_types: ClassVar[tuple[str, ...]] = ("gemma4", "gemma4_unified")

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (pictures, slots, channels x patch x patch) with (column, row) of each patch; spectrograms."""
        return self._sounds(workload) if modality == "audio" else self._patches(modality, workload)

    def _patches(self, modality: str, workload: Workload) -> Media:
        import torch

        patch, pool = patch_of(self.config), int(first(vision_config(self.config), "pooling_kernel_size", default=3))
        clips = workload.videos if modality == "video" else ()
        sizes = [(clip.height, clip.width) for clip in clips] or pictures(workload)
        frames = [clip.frames for clip in clips] or [1] * len(sizes)
        tokens = _FRAME_TOKENS if clips else int(self.processor.get("max_soft_tokens", _TOKENS))
        grids = [budgeted(size, patch * pool, tokens) for size in sizes]
        layouts = tuple(merged((time, *grid), 1) for time, grid in zip(frames, grids, strict=True))
        if self.config.model_type == "gemma4_unified":  # no tower: the pooled patches themselves
            patch, pool = patch * pool, 1
        slots = tokens * pool * pool
        placed = [
            positions(h * pool, w * pool, slots).expand(t, -1, -1) for t, (h, w) in zip(frames, grids, strict=True)
        ]
        pixels, places = shape(sum(frames), slots, 3 * patch * patch), torch.cat(placed)
        if not clips:
            return Media({"pixel_values": pixels, "image_position_ids": places}, layouts)
        named = {"pixel_values_videos": pixels, "video_position_ids": places, "num_frames_per_video": numbers(frames)}
        return Media(named, layouts)

    def _sounds(self, workload: Workload) -> Media:
        from .sound import frame_mask, mel_bins

        real = [round(100 * seconds) for seconds in workload.audio_seconds]
        bins = 640 if self.config.model_type == "gemma4_unified" else mel_bins(self.config)
        arguments = {"input_features": shape(len(real), max(real), bins)}
        return Media({**arguments, "input_features_mask": frame_mask(max(real), real).bool()})
