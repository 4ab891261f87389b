"""Families that hand the encoder a stack of tiles for each picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from ..layout import Layout
from ..workload import Workload
from .inputs import channels, first, numbers, of_one_size, pictures, shape, side_of, vision_config
from .row import Media, Row
from .table import row

if TYPE_CHECKING:
    from torch import nn

_LONGEST_IN_TILES = 4


def split_tiles(size: tuple[int, int], side: int) -> int:
    """Tiles of `side` pixels after scaling the longest edge to four of them, and the whole picture (Idefics3)."""
    height, width = size
    longest = _LONGEST_IN_TILES * side
    if height >= width:
        height, width = longest, max(1, math.ceil(width * longest / height))
    else:
        height, width = max(1, math.ceil(height * longest / width)), longest
    rows, columns = math.ceil(height / side), math.ceil(width / side)
    return rows * columns + 1 if rows * columns > 1 else 1


def canvas(size: tuple[int, int], side: int, *, least: int, most: int) -> tuple[int, int]:
    """(rows, columns) of the arrangement of tiles whose aspect ratio is nearest to the picture's (InternVL).

    Between equally near ones the larger wins as long as the picture fills more than half of it (arXiv:2404.16821).
    """
    height, width = size
    numbers = range(1, most + 1)
    grids = sorted(((w, h) for w in numbers for h in numbers if least <= w * h <= most), key=lambda g: g[0] * g[1])
    best, nearest = (1, 1), math.inf
    for columns, rows in grids:
        distance = abs(width / height - columns / rows)
        fills = width * height > 0.5 * side * side * columns * rows
        if distance < nearest or (distance == nearest and fills):
            best, nearest = (rows, columns), distance
    return best


class FramesAsPictures(Row):
    """Families whose processors hand the frames of a clip to the model as pictures of one tile each."""

    def modalities(self, model: nn.Module) -> tuple[str, ...]:
        """Pictures, and clips by the same argument."""
        return ("image", "video")

    def together(self, modalities: tuple[str, ...]) -> tuple[str, ...]:
        """One of them in a request, since they share argument and placeholder."""
        return modalities[:1]

    def placeholder(self, modality: str) -> int | None:
        """The picture's."""
        return super().placeholder("image")

    def pieces(self, modality: str, layout: Layout) -> list[int]:
        """One run of placeholders for each frame, text between them."""
        if modality != "video" or layout.grid is None:
            return [layout.total]
        return [layout.grid[1] * layout.grid[2]] * layout.grid[0]


@row
class AyaVision(Row):
    """Aya Vision: tiles and a thumbnail, each shuffled from space to channels."""

    model_types: ClassVar[tuple[str, ...]] = ("aya_vision", "qianfan_ocr")

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (tiles of all pictures or frames of all clips, channels, side, side)."""
        vision, across = vision_config(self.config), self.across()
        side = side_of(vision)[0]
        if modality == "video":
            frames = [clip.frames for clip in workload.videos]
            clips = tuple(Layout(n * across * across, (n, across, across)) for n in frames)
            return Media({"pixel_values": shape(sum(frames), channels(vision), side, side)}, clips)
        tiles = [self.tiles(size, side) for size in pictures(workload)]
        arguments = {"pixel_values": shape(sum(tiles), channels(vision), side, side)}
        layouts = [Layout.image(across, across) if n == 1 else Layout(n * across * across) for n in tiles]
        return Media(arguments, tuple(layouts))

    def across(self) -> int:
        """Tokens along one side of a tile."""
        vision = vision_config(self.config)
        patch = vision.patch_size[0] if isinstance(vision.patch_size, (list, tuple)) else vision.patch_size
        patches = side_of(vision)[0] // int(patch)
        if self.config.model_type == "aya_vision":
            return patches // int(self.config.downsample_factor)
        return int(patches * self.config.downsample_ratio)

    def tiles(self, size: tuple[int, int], side: int) -> int:
        """Tiles of one picture, the thumbnail of a cut one included."""
        if not self.processor.get("crop_to_patches", True):
            return 1
        least, most = self.processor.get("min_patches", 1), self.processor.get("max_patches", 12)
        rows, columns = canvas(size, side, least=int(least or 1), most=int(most or 12))
        return rows * columns + 1 if rows * columns > 1 else 1


@row
class InternVL(FramesAsPictures, AyaVision):
    """InternVL: tiles and a thumbnail, and clips of frames of one tile."""

    model_types: ClassVar[tuple[str, ...]] = ("internvl",)


@row
class Idefics3(Row):
    """Idefics3: tiles and the whole picture, pixel shuffle in the connector."""

    model_types: ClassVar[tuple[str, ...]] = ("idefics3",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (1, tiles, channels, side, side) with a mask of real pixels."""
        import torch

        vision = vision_config(self.config)
        side = side_of(vision)[0]
        tiles = self.tiles(modality, workload, side)
        arguments = {
            "pixel_values": shape(1, tiles, channels(vision), side, side),
            "pixel_attention_mask": torch.ones(1, tiles, side, side, dtype=torch.bool),
        }
        return Media(arguments)

    def tiles(self, modality: str, workload: Workload, side: int) -> int:
        """Tiles of all pictures."""
        return sum(split_tiles(size, side) for size in pictures(workload))


@row
class SmolVLM(FramesAsPictures, Idefics3):
    """SmolVLM: tiles and the whole picture, and clips of frames of one tile."""

    model_types: ClassVar[tuple[str, ...]] = ("smolvlm",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """As Idefics3; a clip's layout is a grid of time, rows and columns."""
        found = super().media(model, modality, workload)
        if modality != "video":
            return found
        vision = vision_config(self.config)
        across = side_of(vision)[0] // int(vision.patch_size) // int(self.config.scale_factor)
        clips = tuple(Layout(v.frames * across * across, (v.frames, across, across)) for v in workload.videos)
        return Media(found.arguments, clips)

    def tiles(self, modality: str, workload: Workload, side: int) -> int:
        """Tiles of all pictures, or frames of all clips."""
        if modality == "video":
            return sum(clip.frames for clip in workload.videos)
        return super().tiles(modality, workload, side)


@row
class Idefics2(Row):
    """Idefics2: one picture of native size each, a perceiver of 64 latents."""

    model_types: ClassVar[tuple[str, ...]] = ("idefics2",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (1, pictures, channels, height, width) with a mask of real pixels."""
        import torch

        bounds = self.processor.get("size") or {}
        least, most = int(bounds.get("shortest_edge", 378)), int(bounds.get("longest_edge", 980))
        sizes = [between(size, least=least, most=most) for size in pictures(workload)]
        tall, wide = max(h for h, _ in sizes), max(w for _, w in sizes)
        mask = torch.zeros(1, len(sizes), tall, wide, dtype=torch.bool)
        for number, (height, width) in enumerate(sizes):
            mask[0, number, :height, :width] = True
        pixels = shape(1, len(sizes), channels(vision_config(self.config)), tall, wide)
        return Media({"pixel_values": pixels, "pixel_attention_mask": mask})


def between(size: tuple[int, int], *, least: int, most: int) -> tuple[int, int]:
    """The size scaled down to a longest side of `most`, no side shorter than `least` (Idefics2)."""
    height, width = size
    ratio = width / height
    if width >= height and width > most:
        height, width = int(most / ratio), most
    elif height > width and height > most:
        height, width = most, int(most * ratio)
    return max(height, least), max(width, least)


@row
class GraniteDocling(Row):
    """Tiles with one mask entry each."""

    model_types: ClassVar[tuple[str, ...]] = ("granite_docling",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (1, tiles, channels, side, side), pixel_attention_mask (1, tiles)."""
        import torch

        vision = vision_config(self.config)
        side = side_of(vision)[0]
        tiles = sum(split_tiles(size, side) for size in pictures(workload))
        mask = torch.ones(1, tiles, dtype=torch.bool)
        return Media({"pixel_values": shape(1, tiles, channels(vision), side, side), "pixel_attention_mask": mask})


@row
class Mllama(Row):
    """Llama 3.2 Vision: up to four tiles of a picture side by side, read by cross-attention layers."""

    model_types: ClassVar[tuple[str, ...]] = ("mllama",)

    def placeholder(self, modality: str) -> int | None:
        """One token of the text stands for a whole picture; its tokens are not in the sequence."""
        return None

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (1, pictures, tiles, channels, side, side) with the tiles' arrangement."""
        vision = vision_config(self.config)
        side, tiles, count = side_of(vision)[0], int(vision.max_num_tiles), len(pictures(workload))
        used = [_fit(size, side, tiles) for size in pictures(workload)]
        arrangements = [(h, w) for w in range(1, tiles + 1) for h in range(1, tiles + 1) if h * w <= tiles]
        arguments = {
            "pixel_values": shape(1, count, tiles, channels(vision), side, side),
            "aspect_ratio_ids": numbers([[sorted(arrangements).index(grid) + 1 for grid in used]]),
            "aspect_ratio_mask": numbers([[[int(i < h * w) for i in range(tiles)] for h, w in used]]),
            "cross_attention_mask": numbers(
                [[[[int(i < h * w) for i in range(tiles)] for h, w in used]] * workload.text_tokens]
            ),
        }
        return Media(arguments)


def _fit(size: tuple[int, int], side: int, tiles: int) -> tuple[int, int]:
    """The arrangement of at most `tiles` tiles on which a picture can be scaled up least, or scaled down least."""
    height, width = size
    grids = [(h, w) for h in range(1, tiles + 1) for w in range(1, tiles + 1) if h * w <= tiles]
    scales = {grid: min(grid[0] * side / height, grid[1] * side / width) for grid in grids}
    larger = [s for s in scales.values() if s >= 1]
    chosen = min(larger) if larger else max(scales.values())
    return min((g for g, s in scales.items() if s == chosen), key=lambda g: g[0] * g[1])


@row
class DeepseekHybrid(Row):
    """DeepSeek-VL with a second tower of high resolution."""

    model_types: ClassVar[tuple[str, ...]] = ("deepseek_vl_hybrid",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values and high_res_pixel_values, each of its tower's size."""
        count = len(pictures(workload))
        low, high = side_of(self.config.vision_config), side_of(self.config.high_res_vision_config)
        return Media({"pixel_values": shape(count, 3, *low), "high_res_pixel_values": shape(count, 3, *high)})


@row
class Idefics(Row):
    """Idefics: pictures read by gated cross-attention layers."""

    model_types: ClassVar[tuple[str, ...]] = ("idefics",)

    def placeholder(self, modality: str) -> int | None:
        """None: the decoder's sequence holds no media."""
        return None

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (1, pictures, 3, side, side) that every text token may read."""
        import torch

        side, count = side_of(self.config.vision_config), len(pictures(workload))
        mask = torch.ones(1, workload.text_tokens, count, dtype=torch.long)
        return Media({"pixel_values": shape(1, count, 3, *side), "image_attention_mask": mask})


@row
class Lfm2(Row):
    """SigLIP 2 with patches padded to a common count, pixel unshuffle in the projector."""

    model_types: ClassVar[tuple[str, ...]] = ("lfm2_vl",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (pictures, patches, channels x patch x patch) with the grids' shapes."""
        import torch

        vision = vision_config(self.config)
        patch, factor = int(vision.patch_size), int(first(self.config, "downsample_factor", default=2))
        grids = [_lfm_grid(size, patch, factor) for size in pictures(workload)]
        most = max(h * w for h, w in grids)
        mask = torch.tensor([[int(i < h * w) for i in range(most)] for h, w in grids])
        arguments: dict[str, Any] = {
            "pixel_values": shape(len(grids), most, channels(vision) * patch * patch),
            "spatial_shapes": numbers([list(grid) for grid in grids]),
            "pixel_attention_mask": mask,
        }
        return Media(arguments)


def _lfm_grid(size: tuple[int, int], patch: int, factor: int) -> tuple[int, int]:
    """Patch rows and columns after the processor's resizing to 64 to 256 tokens."""
    from .grids import smart_resize

    unit = patch * factor
    tall, wide = smart_resize(*size, factor=unit, least=64 * unit * unit, most=256 * unit * unit)
    return tall // patch, wide // patch


@row
class MiniCPM(Row):
    """MiniCPM-V 4.6 and 4.7: strips of patches of all pictures end to end."""

    model_types: ClassVar[tuple[str, ...]] = ("minicpmv4_6", "minicpmv4_7", "minicpm_ocr")

    def together(self, modalities: tuple[str, ...]) -> tuple[str, ...]:
        """Pictures alone: their placeholder stands for frames too."""
        return modalities[:1]

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (1, channels, patch, patches x patch) with each picture's patch grid."""
        from .grids import smart_resize

        vision = vision_config(self.config)
        patch = int(vision.patch_size)
        sizes = pictures(workload) if modality == "image" else [(v.height, v.width) for v in workload.videos]
        grids = [
            tuple(s // patch for s in smart_resize(*size, factor=4 * patch, least=(4 * patch) ** 2, most=448 * 448))
            for size in sizes
        ]
        if modality == "video":
            of_one_size(sizes, "clip")
            frames = sum(v.frames for v in workload.videos)
            strip = frames * patch * grids[0][0] * grids[0][1]
            arguments = {
                "pixel_values_videos": shape(1, channels(vision), patch, strip),
                "target_sizes_videos": numbers([list(grids[0])] * frames),
            }
            return Media(arguments)
        strip = patch * sum(h * w for h, w in grids)
        return Media(
            {
                "pixel_values": shape(1, channels(vision), patch, strip),
                "target_sizes": numbers([list(g) for g in grids]),
            }
        )


_EMU3_LIMITS = {"min_pixels": 512, "max_pixels": 1024}
"""Sides of the smallest and the largest square picture, by the processor's defaults."""


@row
class Emu3(Row):
    """Emu3: a picture's code-book entries, one line mark after each row, looked up as words."""

    model_types: ClassVar[tuple[str, ...]] = ("emu3",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values with the pictures' sizes, in whole multiples of the code book's factor of eight."""
        from .grids import smart_resize

        least, most = (int(self.processor.get(name, side * side)) for name, side in _EMU3_LIMITS.items())
        sizes = [smart_resize(*size, factor=8, least=least, most=most) for size in pictures(workload)]
        tall, wide = max(h for h, _ in sizes), max(w for _, w in sizes)
        arguments = {
            "pixel_values": shape(len(sizes), 3, tall, wide),
            "image_sizes": numbers([list(size) for size in sizes]),
        }
        layouts = tuple(Layout((h // 8) * (w // 8), separators=h // 8) for h, w in sizes)
        return Media(arguments, layouts)

    def placeholder(self, modality: str) -> int | None:
        """The vocabulary map's."""
        return int(self.config.vocabulary_map["<image>"])


@row
class Chameleon(Row):
    """Chameleon: a picture's code-book entries, looked up as words."""

    model_types: ClassVar[tuple[str, ...]] = ("chameleon",)

    def placeholder(self, modality: str) -> int | None:
        """The vocabulary map's."""
        return int(self.config.vocabulary_map["<image>"])
