"""Families whose patches come in a form of their own: small pictures, positions, places to pool."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from ..layout import Layout
from ..workload import Workload
from .grids import grid_media, merge_of, merged, patch_of, pixel_limits, smart_resize
from .inputs import channels, first, numbers, of_one_size, pictures, shape, side_of, vision_config
from .row import Media, Row
from .table import row

if TYPE_CHECKING:
    from torch import nn


@row
class SpatialPatches(Row):
    """Patches as small pictures instead of flat vectors (Kimi K2.5, PaddleOCR-VL)."""

    model_types: ClassVar[tuple[str, ...]] = ("kimi_k25", "paddleocr_vl")

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (patches, channels, patch, patch)."""
        found = grid_media(self, modality, workload)
        if modality == "video":  # every frame has a grid of its own
            grids = [[1, h, w] for t, h, w in found.arguments["video_grid_thw"].tolist() for _ in range(t)]
            found.arguments["video_grid_thw"] = numbers(grids)
        patch, colours = patch_of(self.config), channels(vision_config(self.config))
        name = "pixel_values" if modality == "image" else "pixel_values_videos"
        found.arguments[name] = shape(found.arguments[name].shape[0], colours, patch, patch)
        return found


@row
class Muse(Row):
    """Muse: two frames in each patch vector."""

    model_types: ClassVar[tuple[str, ...]] = ("muse_spark", "muse_glimmer")

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """Patch vectors of two frames."""
        if modality == "audio":
            samples = round(16000 * max(workload.audio_seconds))
            return Media({"input_values": shape(len(workload.audio_seconds), samples)})
        found = grid_media(self, modality, workload)
        name = "pixel_values" if modality == "image" else "pixel_values_videos"
        rows, width = found.arguments[name].shape
        found.arguments[name] = shape(rows, 2 * width)
        return found


@row
class VideoLlava(Row):
    """Video-LLaVA: two towers of fixed size; every frame keeps all its patches."""

    model_types: ClassVar[tuple[str, ...]] = ("video_llava",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values_images (pictures, ...), pixel_values_videos (clips, frames, ...)."""
        height, width = side_of(self.config.vision_config)
        side = height // int(self.config.vision_config.patch_size)
        if modality == "image":
            count = len(pictures(workload))
            return Media(
                {"pixel_values_images": shape(count, 3, height, width)}, tuple([Layout.image(side, side)] * count)
            )
        frames = of_one_size([v.frames for v in workload.videos], "clip")
        pixels = shape(len(workload.videos), frames, 3, height, width)
        prefixed = Layout(frames * (side * side + 1))
        return Media({"pixel_values_videos": pixels}, tuple([prefixed] * len(workload.videos)))


@row
class NemotronOmni(Row):
    """Nemotron Omni: patch vectors with a grid of rows and columns, pixel shuffle before the projector."""

    model_types: ClassVar[tuple[str, ...]] = ("nemotron_h_omni",)

    def modalities(self, model: nn.Module) -> tuple[str, ...]:
        """Sound only where there is a tower for it; clips take a path of their own that is not traced."""
        return ("image", "audio") if getattr(self.config, "audio_config", None) is not None else ("image",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (patches, channels x patch x patch) with image_grid_hw."""
        if modality != "image":
            return super().media(model, modality, workload)
        patch = patch_of(self.config)
        grids = []
        least, most = pixel_limits(self.config, modality, 1, self.processor)
        for height, width in pictures(workload):
            tall, wide = smart_resize(height, width, factor=2 * patch, least=least, most=most)
            grids.append((tall // patch, wide // patch))
        rows = sum(h * w for h, w in grids)
        arguments = {
            "pixel_values": shape(rows, channels(vision_config(self.config)) * patch * patch),
            "image_grid_hw": numbers([list(grid) for grid in grids]),
        }
        return Media(arguments, tuple(Layout.image(h // 2, w // 2) for h, w in grids))


@row
class Inkling2(Row):
    """Inkling 2: merged patches as small pictures, channels last."""

    model_types: ClassVar[tuple[str, ...]] = ("inkling2",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (tokens, side, side, channels); grids in tokens."""
        side = patch_of(self.config) * merge_of(self.config)
        grids = [(1, -(-height // side), -(-width // side)) for height, width in pictures(workload)]
        pixels = shape(sum(math.prod(grid) for grid in grids), side, side, channels(vision_config(self.config)))
        layouts = tuple(merged(grid, 1) for grid in grids)
        return Media({"pixel_values": pixels, "image_grid_thw": numbers([list(grid) for grid in grids])}, layouts)


@row
class Inkling(Row):
    """Inkling: patches of two frames in a pyramid of layers; sound as indices of mel levels."""

    model_types: ClassVar[tuple[str, ...]] = ("inkling_mm_model",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (patches, frames, side, side, channels); audio_input_ids (sounds, frames, mel bins)."""
        import torch

        if modality == "audio":
            from .sound import audio_config

            frames = max(round(20 * seconds) for seconds in workload.audio_seconds)
            bins = int(first(audio_config(self.config), "n_mel_bins", "num_mel_bins", default=80))
            count = len(workload.audio_seconds)
            arguments = {
                "audio_input_ids": torch.zeros(count, frames, bins, dtype=torch.long),
                "audio_input_ids_mask": torch.ones(count, frames, dtype=torch.bool),
            }
            return Media(arguments, tuple([Layout(frames)] * count))
        vision = vision_config(self.config)
        side, frames = int(vision.patch_size), int(vision.temporal_patch_size)
        grids = [(-(-height // side), -(-width // side)) for height, width in pictures(workload)]
        pixels = shape(sum(h * w for h, w in grids), frames, side, side, channels(vision))
        return Media({"pixel_values": pixels}, tuple(Layout.image(h, w) for h, w in grids))


@row
class Molmo2(Row):
    """Molmo 2: overlapping crops, pooled two by two by attention over the places of each token."""

    model_types: ClassVar[tuple[str, ...]] = ("molmo2",)

    def modalities(self, model: nn.Module) -> tuple[str, ...]:
        """Pictures; clips take the same path with other places."""
        return ("image",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (crops, patches, channels x patch x patch), places to pool (tokens, 4), grids."""
        vision = vision_config(self.config)
        side, patch = side_of(vision)[0], patch_of(self.config)
        patches, count = (side // patch) ** 2, len(pictures(workload))
        pooled = -(-(side // patch) // 2)
        tokens = 2 * pooled * pooled
        arguments = {
            "pixel_values": shape(2 * count, patches, channels(vision) * patch * patch),
            "image_token_pooling": numbers([[0, 1, 2, 3]] * (tokens * count)),
            "image_grids": numbers([[pooled, pooled, pooled, pooled]] * count),
            "image_num_crops": numbers([2] * count),
        }
        return Media(arguments, tuple([Layout(tokens)] * count))

    def placeholder(self, modality: str) -> int | None:
        """The id of an image patch."""
        return int(first(self.config, "image_patch_id", "image_token_id", default=151938))


@row
class Hunyuan(Row):
    """Hunyuan-VL: a newline after each row of merged patches, and a mark at either end."""

    model_types: ClassVar[tuple[str, ...]] = ("hunyuan_vl",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """Grids as usual."""
        found = grid_media(self, modality, workload)
        grids = found.arguments["image_grid_thw"].tolist()
        merge = merge_of(self.config)
        layouts = tuple(Layout((h // merge) * (w // merge), separators=h // merge + 2) for _, h, w in grids)
        return Media(found.arguments, layouts)
