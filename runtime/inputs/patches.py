"""Pixels as rows of flattened patches over all media, as the Qwen-VL families take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .forms import Grid, InputForm, resize

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class FlatPatches(InputForm):
    """Rows of patches over all media (Qwen-VL): groups of merge x merge patches, each (channels, time, side, side).

    Args:
        pixels: the argument with the rows. grid: the one with (time, height, width) in patches of each medium.
        side: pixels of a patch's side. time: frames of a patch.
    """

    pixels: str
    grid: str
    side: int
    time: int = 1

    @property
    def changes(self) -> tuple[str, ...]:
        """Both in clips; a picture is one frame."""
        return ("size", "frames") if self.grid.startswith("video") else ("size",)

    def resized(self, arguments: Mapping[str, Any], before: Sequence[Grid], after: Sequence[Grid]) -> dict[str, Any]:
        """Patches are put together to frames, resized and cut up again; the merge size stays."""
        import torch

        rows, grids = [], []
        parts = self._media(arguments, before)
        for part, old, new in zip(parts, before, after, strict=True):
            merge = round((len(part) / (old[0] * old[1] * old[2])) ** 0.5)
            frames = self._frames(part, old, merge)
            step = self.side * merge
            frames = resize(frames, (new[1] * step, new[2] * step))
            rows.append(self._rows(frames, new, merge))
            grids.append((new[0], new[1] * merge, new[2] * merge))
        given = arguments[self.grid]
        return {
            **arguments,
            self.pixels: torch.cat(rows),
            self.grid: torch.tensor(grids, dtype=given.dtype, device=given.device),
        }

    def values(self, arguments: Mapping[str, Any], grids: Sequence[Grid]) -> list[torch.Tensor]:
        """The rows of a token's group, side by side: tokens stand in row-major order already."""
        parts = self._media(arguments, grids)
        return [part.reshape(t * h * w, -1) for part, (t, h, w) in zip(parts, grids, strict=True)]

    def with_frames(
        self, arguments: Mapping[str, Any], grids: Sequence[Grid], kept: Sequence[torch.Tensor]
    ) -> dict[str, Any]:
        """Frames are runs of rows."""
        import torch

        parts = self._media(arguments, grids)
        chosen = [
            part.view(grid[0], -1, part.shape[-1]).index_select(0, frames).flatten(0, 1)
            for part, grid, frames in zip(parts, grids, kept, strict=True)
        ]
        shorter = arguments[self.grid].clone()
        for medium, frames in enumerate(kept):
            shorter[medium, 0] = len(frames)
        return {**arguments, self.pixels: torch.cat(chosen), self.grid: shorter}

    def _media(self, arguments: Mapping[str, Any], grids: Sequence[Grid]) -> tuple[torch.Tensor, ...]:
        """The rows of each medium; every token has as many rows unless merge sizes come with the call."""
        rows = arguments[self.pixels]
        sizes = arguments.get(self.grid.replace("grid_thw", "merge_sizes"))
        tokens = [t * h * w for t, h, w in grids]
        if sizes is None:
            each = len(rows) // sum(tokens)
            return tuple(rows.split([count * each for count in tokens]))
        squares = [int(size) ** 2 for size in sizes.tolist()]
        return tuple(rows.split([count * square for count, square in zip(tokens, squares, strict=True)]))

    def _frames(self, rows: torch.Tensor, grid: Grid, merge: int) -> torch.Tensor:
        """(time * frames, channels, height, width) pixels of one medium."""
        t, h, w = grid
        cut = rows.view(t, h, w, merge, merge, -1, self.time, self.side, self.side)
        frames = cut.permute(0, 6, 5, 1, 3, 7, 2, 4, 8)
        return frames.reshape(t * self.time, -1, h * merge * self.side, w * merge * self.side)

    def _rows(self, frames: torch.Tensor, grid: Grid, merge: int) -> torch.Tensor:
        """The rows of patches of one medium's frames."""
        t, h, w = grid
        cut = frames.view(t, self.time, -1, h, merge, self.side, w, merge, self.side)
        return cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(t * h * w * merge * merge, -1)
