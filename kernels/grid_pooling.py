"""Pooling over a grid of tokens, in the plane or over time as well."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from .dispatch import runs_on_gpu

if TYPE_CHECKING:
    import torch

Grid = tuple[int, int, int]
Mode = Literal["mean", "max"]


def pool_grid(features: torch.Tensor, *, grid: Grid, pooled: Grid, mode: Mode = "mean") -> torch.Tensor:
    """Pool a (T, H, W) grid of tokens to (t, h, w) bins, which do not overlap and differ by at most one cell a side.

    Bin i of n along an axis of length L holds the cells from ceil(i L / n) to before ceil((i + 1) L / n). A picture is
    a grid with T = 1; 2-d pooling of a clip leaves T as it is.

    Args:
        features: (B, T * H * W, D) floating, the last axis of the grid running fastest.
        grid: (T, H, W). pooled: (t, h, w), none larger than in `grid`.
        mode: "mean" (summed in float32) or "max"; NaN goes into its bin in both.

    Returns:
        (B, t * h * w, D) in the dtype of `features`. O(N D) time; one launch on a GPU.

    Example:
        >>> import torch
        >>> pool_grid(torch.arange(6.0)[None, :, None], grid=(1, 2, 3), pooled=(1, 1, 2)).flatten().tolist()
        [2.0, 3.5]
    """
    if runs_on_gpu(features):
        from .grid_pooling_triton import pool_grid_triton

        return pool_grid_triton(features, grid=grid, pooled=pooled, mode=mode)
    return pool_grid_torch(features, grid=grid, pooled=pooled, mode=mode)


def pool_grid_torch(features: torch.Tensor, *, grid: Grid, pooled: Grid, mode: Mode = "mean") -> torch.Tensor:
    """`pool_grid` in torch: one axis after the other."""
    import torch

    batch, _, width = features.shape
    values = features.reshape(batch, *grid, width)
    values = values.float() if mode == "mean" else values
    cells = torch.ones((), device=features.device)
    for axis, (length, bins) in enumerate(zip(grid, pooled, strict=True)):
        edges = [-(-i * length // bins) for i in range(bins + 1)]
        sides = [after - before for before, after in pairwise(edges)]
        parts = [values.narrow(axis + 1, first, side) for first, side in zip(edges[:-1], sides, strict=True)]
        reduced = [part.sum(axis + 1) if mode == "mean" else part.amax(axis + 1) for part in parts]
        values = torch.stack(reduced, dim=axis + 1)
        cells = cells[..., None] * torch.tensor(sides, dtype=torch.float32, device=features.device)
    if mode == "mean":
        values = values / cells[..., None]
    return values.reshape(batch, -1, width).to(features.dtype)
