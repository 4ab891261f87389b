"""How the pixels of pictures and clips are laid out in a call, and how they are made smaller before the encoder.

A form reads and rewrites the arguments of `get_image_features` or `get_video_features`. Families that share a layout of
their pixels share a form; which form a family has is one line in its adapter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...ir.layout import Layout

if TYPE_CHECKING:
    import torch

Grid = tuple[int, int, int]


class InputForm:
    """One layout of pixels."""

    @property
    def changes(self) -> tuple[str, ...]:
        """What of its media can be changed: "size", "frames" or both."""
        return ("size",)

    def resized(self, arguments: Mapping[str, Any], before: Sequence[Grid], after: Sequence[Grid]) -> dict[str, Any]:
        """The arguments with each medium's frames resized from a grid of tokens `before` to one of `after`."""
        raise NotImplementedError(f"{type(self).__name__} takes pixels of one size")

    def values(self, arguments: Mapping[str, Any], grids: Sequence[Grid]) -> list[torch.Tensor]:
        """For each medium (N, P), the pixel values behind each of its tokens."""
        raise NotImplementedError(f"{type(self).__name__} holds no frames")

    def with_frames(
        self, arguments: Mapping[str, Any], grids: Sequence[Grid], kept: Sequence[torch.Tensor]
    ) -> dict[str, Any]:
        """The arguments with only the `kept` frames (K,) of each medium."""
        raise NotImplementedError(f"{type(self).__name__} holds no frames")


@dataclass(frozen=True)
class Pictures(InputForm):
    """Pictures or tiles of one size, (..., channels, height, width), with masks of pixels where there are any."""

    pixels: str = "pixel_values"
    masks: tuple[str, ...] = ()

    def resized(self, arguments: Mapping[str, Any], before: Sequence[Grid], after: Sequence[Grid]) -> dict[str, Any]:
        """All at once: they share one grid."""
        changed = dict(arguments)
        size = pixel_size(arguments[self.pixels], before[0], after[0])
        changed[self.pixels] = resize(arguments[self.pixels], size)
        for name in self.masks:
            if arguments.get(name) is not None:
                changed[name] = _resized_mask(arguments[name], size)
        return changed


@dataclass(frozen=True)
class Clips(Pictures):
    """Clips of one length, (clips, frames, channels, height, width); `resizable` where frames of any size are taken."""

    pixels: str = "pixel_values_videos"
    resizable: bool = True

    @property
    def changes(self) -> tuple[str, ...]:
        """Frames always, their size where the encoder and what follows it take any."""
        return ("size", "frames") if self.resizable else ("frames",)

    def values(self, arguments: Mapping[str, Any], grids: Sequence[Grid]) -> list[torch.Tensor]:
        """The patch of pixels behind each token; what does not fill a patch is left out."""
        return [_patches(clip, grid) for clip, grid in zip(arguments[self.pixels], grids, strict=True)]

    def with_frames(
        self, arguments: Mapping[str, Any], grids: Sequence[Grid], kept: Sequence[torch.Tensor]
    ) -> dict[str, Any]:
        """Every clip keeps as many frames."""
        import torch

        clips = arguments[self.pixels]
        chosen = torch.stack([clip.index_select(0, frames) for clip, frames in zip(clips, kept, strict=True)])
        return {**arguments, self.pixels: chosen}


@dataclass(frozen=True)
class SizedPictures(InputForm):
    """Pictures of different sizes in one padded tensor (media, channels, height, width), their sizes beside it."""

    step: int
    pixels: str = "pixel_values"
    sizes: str = "image_sizes"

    def resized(self, arguments: Mapping[str, Any], before: Sequence[Grid], after: Sequence[Grid]) -> dict[str, Any]:
        """Each picture is cut out of its padding, resized, and padded to the largest of the new ones."""
        import torch

        sizes = [(grid[1] * self.step, grid[2] * self.step) for grid in after]
        height, width = max(size[0] for size in sizes), max(size[1] for size in sizes)
        padded = []
        for picture, old, size in zip(arguments[self.pixels], before, sizes, strict=True):
            cut = picture[:, : old[1] * self.step, : old[2] * self.step]
            padding = (0, width - size[1], 0, height - size[0])
            padded.append(torch.nn.functional.pad(resize(cut[None], size)[0], padding))
        given = arguments[self.sizes]
        new: Any = sizes
        if isinstance(given, torch.Tensor):
            new = torch.tensor(sizes, dtype=given.dtype, device=given.device)
        return {**arguments, self.pixels: torch.stack(padded), self.sizes: new}


def resize(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Pixels (..., channels, height, width) at `size`, bilinear and antialiased, in their dtype; equal sizes stay."""
    import torch

    if tuple(pixels.shape[-2:]) == size:
        return pixels
    flat = pixels.reshape(-1, *pixels.shape[-3:]).float()
    smaller = torch.nn.functional.interpolate(flat, size=size, mode="bilinear", antialias=True)
    return smaller.view(*pixels.shape[:-2], *size).to(pixels.dtype)


def grid_of(layout: Layout) -> Grid:
    """The grid of a medium; one row of a plain sequence."""
    return (1, 1, layout.count) if layout.grid is None else layout.grid


def pixel_size(pixels: torch.Tensor, before: Grid, after: Grid) -> tuple[int, int]:
    """(height, width) of frames whose grid of tokens becomes `after`."""
    height, width = pixels.shape[-2] // before[1], pixels.shape[-1] // before[2]
    if before == after:
        return int(pixels.shape[-2]), int(pixels.shape[-1])
    return after[1] * height, after[2] * width


def _resized_mask(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A mask (..., height, width) of which pixels are no padding, at `size`."""
    import torch

    flat = mask.reshape(-1, 1, *mask.shape[-2:]).float()
    smaller = torch.nn.functional.adaptive_max_pool2d(flat, size)
    return smaller.view(*mask.shape[:-2], *size).to(mask.dtype)


def _patches(clip: torch.Tensor, grid: Grid) -> torch.Tensor:
    """(time * height * width, channels * patch) pixel values behind the tokens of one clip (time, channels, ...)."""
    t, h, w = grid
    y, x = clip.shape[-2] // h, clip.shape[-1] // w
    cut = clip[..., : h * y, : w * x].reshape(t, clip.shape[1], h, y, w, x)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(t * h * w, -1)
