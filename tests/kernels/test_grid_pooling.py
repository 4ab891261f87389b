"""Grid pooling: torch against a loop over the cells, Triton against the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from drawn import DEVICE, DTYPES, close, few, normal
from hypothesis import example, given
from hypothesis import strategies as st

from foveate.kernels.grid_pooling import pool_grid, pool_grid_torch
from foveate.kernels.grid_pooling_triton import pool_grid_triton

Grid = tuple[int, int, int]


@st.composite
def grids(draw: st.DrawFn) -> tuple[Grid, Grid]:
    grid = tuple(draw(st.integers(1, side)) for side in (3, 4, 5))
    pooled = tuple(draw(st.integers(1, side)) for side in grid)
    return grid, pooled  # type: ignore[return-value]


def pooled_by_hand(features: np.ndarray, grid: Grid, pooled: Grid, mode: str) -> np.ndarray:
    bins: dict[tuple[int, ...], list[np.ndarray]] = {}
    for cell, value in zip(np.ndindex(grid), features.swapaxes(0, 1), strict=True):
        place = tuple(math.floor(i * n / length) for i, n, length in zip(cell, pooled, grid, strict=True))
        bins.setdefault(place, []).append(value)
    reduce = np.mean if mode == "mean" else np.max
    return np.stack([reduce(bins[place], axis=0) for place in np.ndindex(pooled)], axis=1)


@few
@given(grids(), st.integers(1, 20), st.integers(0, 99), DTYPES)
@example(((1, 1, 1), (1, 1, 1)), 1, 0, torch.float32)
def test_bins_hold_the_mean_or_the_largest_of_their_cells(
    shapes: tuple[Grid, Grid], width: int, seed: int, dtype: torch.dtype
) -> None:
    grid, pooled = shapes
    features = normal(1 + seed % 2, math.prod(grid), width, seed=seed, dtype=dtype)
    mode = "mean" if seed % 3 else "max"
    expected = pooled_by_hand(features.cpu().double().numpy(), grid, pooled, mode)
    for way in (pool_grid, pool_grid_torch, pool_grid_triton):
        found = way(features, grid=grid, pooled=pooled, mode=mode)
        assert found.dtype == dtype
        close(found, expected, dtype=dtype)


@pytest.mark.parametrize("mode", ["mean", "max"])
def test_nan_spoils_its_bin_only(mode: str) -> None:
    features = torch.ones(1, 8, 3, device=DEVICE)
    features[0, 5, 1] = math.nan
    for way in (pool_grid_torch, pool_grid_triton):
        found = way(features, grid=(2, 2, 2), pooled=(2, 1, 1), mode=mode)
        assert found.isnan().tolist() == [[[False] * 3, [False, True, False]]]
