"""Downsampling of the input: the picture itself is made smaller before it is encoded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from ..ir.layout import Layout, kept_count
from ..ir.op import Op
from ..ir.polynomial import ROWS, as_polynomial
from .base import Compression, Tokens, register
from .input_pass import InputPass
from .pool import pooling_bins


@register
@dataclass(frozen=True)
class Downsample(InputPass):
    """Resize pictures and frames to the smaller grid of tokens that `keep` asks for, antialiased (bilinear).

    The baseline that every designed method should beat: at equal latency a smaller picture is often as good as a
    pruned large one, and the encoder gets cheaper too. The new grid keeps the aspect ratio as nearly as whole tokens
    allow; each of its cells stands at the position of the token in its middle.
    """

    name = "downsample"
    source = "baseline"
    summary = "encode a smaller picture"
    mechanism = "transformation"
    modalities = ("image", "video")
    consumes = ("feature", "spatial")
    needs_grid = True
    change = "size"

    def count(self, layout: Layout, keep: float) -> Layout:
        """The smaller grid of the same shape whose cell count is nearest to keep * N; frames all stay."""
        wanted = kept_count(layout.count, keep)
        if layout.grid is None or wanted == layout.count:
            return layout
        frames, height, width = layout.grid
        height, width = similar_grid(height, width, max(1, round(wanted / frames)))
        return replace(layout, count=frames * height * width, grid=(frames, height, width))

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Two passes of an antialiasing filter over the pixels, of which there are `width` values for each token."""
        return (
            Op("resize", "elementwise", flops=8 * width * ROWS, elements=4 * width * ROWS, launches=as_polynomial(6)),
        )

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """The token in the middle of each new cell stands for it; every token joins its cell."""
        import torch

        assign, centres = pooling_bins(tokens.layout, target)
        rows, device = tokens.features.shape[0], tokens.features.device
        index = torch.tensor(centres, device=device).expand(rows, len(centres))
        return Compression(index, assign=torch.tensor(assign, device=device).expand(rows, len(assign)))


@cache
def similar_grid(height: int, width: int, cells: int) -> tuple[int, int]:
    """The (height, width) of the same shape, no larger than the given one, whose product is nearest to `cells`.

    Squares stay squares; ties go to the smaller grid.

    Example:
        >>> similar_grid(24, 24, 144), similar_grid(24, 24, 290), similar_grid(4, 8, 16)
        ((12, 12), (17, 17), (3, 6))
    """
    by_height = [(rows, max(1, round(rows * width / height))) for rows in range(1, height + 1)]
    by_width = [(max(1, round(columns * height / width)), columns) for columns in range(1, width + 1)]
    return min({*by_height, *by_width}, key=lambda grid: (abs(grid[0] * grid[1] - cells), grid))
