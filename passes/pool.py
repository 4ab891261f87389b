"""Average pooling over the grid or the sequence, the spatially uniform baseline that merges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from ..ir.layout import Layout, kept_count
from ..ir.op import Op
from ..ir.polynomial import ROWS, as_polynomial
from .base import EVERYWHERE, Compression, Pass, Tokens, register

_WIDEST_STRETCH = 2.0


@register
@dataclass(frozen=True)
class Pool(Pass):
    """Average pooling to the nearest grid: each bin becomes its mean and stands at its central cell's position.

    The frames of a clip are pooled one by one; a plain sequence is pooled in runs. Bins differ by at most one cell a
    side where the sizes do not divide.
    """

    name = "pool"
    source = "baseline"
    summary = "average pooling over the grid or the sequence"
    mechanism = "transformation"
    sites = EVERYWHERE
    consumes = ("feature", "spatial")
    catalog_id = "token-pooling-baseline"

    def count(self, layout: Layout, keep: float) -> Layout:
        """The pooled grid whose cell count is nearest to keep * N, at most twice as stretched as the original."""
        wanted = kept_count(layout.count, keep)
        if layout.grid is None or wanted == layout.count:
            return replace(layout, count=wanted)
        frames, height, width = layout.grid
        height, width = nearest_grid(height, width, max(1, round(wanted / frames)))
        return replace(layout, count=frames * height * width, grid=(frames, height, width))

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """One pass over the features: a segmented mean."""
        return (Op("segment_mean", "gather", flops=width * ROWS, elements=3 * width * ROWS, launches=as_polynomial(4)),)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """Every token joins its bin; the bin's central cell is the representative."""
        import torch

        assign, centres = pooling_bins(tokens.layout, target)
        rows, device = tokens.features.shape[0], tokens.features.device
        index = torch.tensor(centres, device=device).expand(rows, len(centres))
        return Compression(index, assign=torch.tensor(assign, device=device).expand(rows, len(assign)))


def nearest_grid(height: int, width: int, cells: int) -> tuple[int, int]:
    """The (height, width) no larger than the given one whose product is nearest to `cells`, then least stretched.

    Grids that are stretched more than twofold are taken only where no other has about so many cells.

    Example:
        >>> nearest_grid(24, 24, 144), nearest_grid(16, 16, 128), nearest_grid(16, 16, 32)
        ((12, 12), (8, 16), (4, 8))
    """
    candidates = [
        (rows, max(1, min(width, cells // rows + extra))) for rows in range(1, height + 1) for extra in (0, 1)
    ]

    def misfit(grid: tuple[int, int]) -> tuple[bool, float, tuple[int, int]]:
        stretch = max(grid[0] * width, grid[1] * height) / min(grid[0] * width, grid[1] * height)
        return stretch > _WIDEST_STRETCH, abs(grid[0] * grid[1] - cells) + 1e-6 * stretch, grid

    return min(candidates, key=misfit)


@cache
def pooling_bins(layout: Layout, target: Layout) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The bin of every token, and the central token of every bin, both in row-major order."""
    if layout.grid is None or target.grid is None:
        return _line_bins(layout.count, target.count)
    frames, height, width = layout.grid
    _, rows, columns = target.grid
    row_bin, row_centre = _line_bins(height, rows)
    column_bin, column_centre = _line_bins(width, columns)
    assign = [
        (frame * rows + row_bin[y]) * columns + column_bin[x]
        for frame in range(frames)
        for y in range(height)
        for x in range(width)
    ]
    centres = [(frame * height + y) * width + x for frame in range(frames) for y in row_centre for x in column_centre]
    return tuple(assign), tuple(centres)


def _line_bins(length: int, bins: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Contiguous bins along one axis that differ by at most one cell, and the lower central cell of each."""
    edges = [-(-i * length // bins) for i in range(bins + 1)]
    assign = tuple(i for i in range(bins) for _ in range(edges[i], edges[i + 1]))
    return assign, tuple((edges[i] + edges[i + 1] - 1) // 2 for i in range(bins))
