"""Families that read a picture as a whole and, larger, in crops of one size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from ..layout import Layout
from ..workload import Workload
from .inputs import channels, numbers, pictures, shape
from .row import Media, Row
from .table import row
from .tiles import canvas

if TYPE_CHECKING:
    import torch
    from torch import nn


@row
class DeepseekOcr2(Row):
    """DeepSeek-OCR 2: learned queries read each view; 256 of the whole picture, 144 of every crop, one separator."""

    model_types: ClassVar[tuple[str, ...]] = ("deepseek_ocr2",)

    whole: ClassVar[int] = 1024
    crop: ClassVar[int] = 768
    pixels_per_query: ClassVar[int] = 64

    def encoders(self, model: nn.Module, modality: str) -> Iterator[str]:
        """Both encoders of the tower."""
        yield "model.vision_tower"

    def usual_size(self) -> tuple[int, int]:
        """The whole picture's."""
        return self.whole, self.whole

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (pictures, 3, 1024, 1024); pixel_values_local (crops of all pictures, 3, 768, 768)."""
        crops = [self.crops(size) for size in pictures(workload)]
        arguments = {"pixel_values": shape(len(crops), 3, self.whole, self.whole)}
        if sum(crops):
            arguments["pixel_values_local"] = shape(sum(crops), 3, self.crop, self.crop)
            arguments["num_local_patches"] = numbers(crops)
        whole, local = (self.whole // self.pixels_per_query) ** 2, (self.crop // self.pixels_per_query) ** 2
        return Media(arguments, tuple(Layout(whole + count * local, separators=1) for count in crops))

    def crops(self, size: tuple[int, int]) -> int:
        """Crops of one picture: two to six where a side is longer than one of them."""
        if max(size) <= self.crop:
            return 0
        return math.prod(canvas(size, self.crop, least=2, most=6))


@row
class Phi4(Row):
    """Phi-4-multimodal (arXiv:2503.01743): patches averaged two by two, one newline a row, a mark between the views."""

    model_types: ClassVar[tuple[str, ...]] = ("phi4_multimodal",)

    def encoders(self, model: nn.Module, modality: str) -> Iterator[str]:
        """The towers inside the embedding of media."""
        holder = "model.embed_tokens_extend"
        yield f"{holder}.image_embed.img_processor" if modality == "image" else f"{holder}.audio_embed.encoder"

    def roots(self, model: nn.Module, modality: str) -> dict[str, list[str]]:
        """Media are embedded inside the decoder's own module, so that its parts are named one by one."""
        found = super().roots(model, modality)
        holder = f"model.embed_tokens_extend.{modality}_embed"
        names = [name for name, _ in model.get_submodule(holder).named_children() if "proj" in name]
        found[f"{modality}.projector"] = [f"{holder}.{name}" for name in names if "processor" not in name]
        found["decoder"] = ["model.embed_tokens", "model.rotary_emb", "model.layers", "model.norm"]
        return found

    def placeholder(self, modality: str) -> int | None:
        """Each tower's configuration names its own."""
        if modality == "image":
            return int(self.config.vision_config.image_token_id)
        return int(self.config.audio_config.audio_token_id)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """image_pixel_values (pictures, views, channels, side, side) with masks; audio_input_features with sizes."""
        return self._sounds(workload) if modality == "audio" else self._pictures(workload)

    def _pictures(self, workload: Workload) -> Media:
        import torch

        vision, sizes = self.config.vision_config, pictures(workload)
        side, patch = int(vision.crop_size), int(vision.patch_size)
        grids = [self.grid(size, side) for size in sizes]
        masks = [patch_mask(size, grid, side // patch, patch) for size, grid in zip(sizes, grids, strict=True)]
        views = 1 + max(math.prod(grid) for grid in grids)
        mask = torch.ones(len(sizes), views, side // patch, side // patch)
        for number, (found, (rows, columns)) in enumerate(zip(masks, grids, strict=True)):
            cut = found.reshape(rows, side // patch, columns, side // patch).transpose(1, 2)
            mask[number, 1 : 1 + rows * columns] = cut.flatten(0, 1)
        arguments = {
            "image_pixel_values": shape(len(sizes), views, channels(vision), side, side),
            "image_sizes": numbers([[rows * side, columns * side] for rows, columns in grids]),
            "image_attention_mask": mask,
        }
        return Media(arguments, tuple(self._layout(found) for found in masks))

    def _layout(self, mask: torch.Tensor) -> Layout:
        """The picture in crops and whole, a newline after each row of either, one mark between them."""
        vision = self.config.vision_config
        rows, columns = (int(mask[::2, ::2].sum(dim).max()) for dim in (0, 1))
        across = int(vision.crop_size) // int(vision.patch_size) // 2
        return Layout(rows * columns + across * across, separators=rows + across + 1)

    def grid(self, size: tuple[int, int], side: int) -> tuple[int, int]:
        """(rows, columns) of crops: as many as cover the picture, else the nearest shape of at most 36."""
        rows, columns = math.ceil(size[0] / side), math.ceil(size[1] / side)
        most = int(self.processor.get("dynamic_hd", 36))
        return (rows, columns) if rows * columns <= most else canvas(size, side, least=1, most=most)

    def _sounds(self, workload: Workload) -> Media:
        """Frames of 25 ms every 10 ms, eight of them a token."""
        audio = self.config.audio_config
        frames = [(round(16_000 * seconds) - 400) // 160 + 1 for seconds in workload.audio_seconds]
        tokens = [-(-count // (int(audio.time_reduction) * int(audio.downsample_rate))) for count in frames]
        arguments: dict[str, Any] = {
            "audio_input_features": shape(len(frames), max(frames), int(audio.input_size)),
            "audio_embed_sizes": numbers(tokens),
        }
        if len(frames) > 1:
            arguments["audio_attention_mask"] = numbers([list(range(max(frames)))]) < numbers(frames)[:, None]
        return Media(arguments, tuple(Layout(count) for count in tokens))


def patch_mask(size: tuple[int, int], grid: tuple[int, int], across: int, patch: int) -> torch.Tensor:
    """(rows x across, columns x across) float: 1 for patches of the picture, 0 for whole patches of its padding."""
    import torch

    rows, columns = grid
    tall, wide = rows * across * patch, columns * across * patch
    ratio = min(wide / size[1], tall / size[0])
    below = (tall - int(size[0] * ratio)) // patch if wide / size[1] < tall / size[0] else 0
    beside = 0 if wide / size[1] < tall / size[0] else (wide - int(size[1] * ratio)) // patch
    mask = torch.ones(rows * across, columns * across)
    mask[rows * across - below :] = 0
    mask[:, columns * across - beside :] = 0
    return mask
