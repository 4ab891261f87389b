"""Density peaks in two launches: the k nearest of every token, then its nearest denser one; distances stay in tiles."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .tuning import tuned


@triton.jit
def distance_tile(
    features: tl.tensor,
    rows: tl.tensor,
    columns: tl.tensor,
    tokens: tl.tensor,
    width: tl.tensor,
    feature_token: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> tl.tensor:
    """(ROWS, COLUMNS) float32 squared distances over D, summed from differences; NaN and what lies outside is inf."""
    summed = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, width, CHANNELS):
        channels = start + tl.arange(0, CHANNELS)
        inside = (channels < width)[None, :]
        left = features + rows.to(tl.int64)[:, None] * feature_token + channels[None, :]
        right = features + columns.to(tl.int64)[:, None] * feature_token + channels[None, :]
        a = tl.load(left, mask=(rows < tokens)[:, None] & inside, other=0.0).to(tl.float32)
        b = tl.load(right, mask=(columns < tokens)[:, None] & inside, other=0.0).to(tl.float32)
        apart = a[:, None, :] - b[None, :, :]
        summed += tl.sum(apart * apart, axis=2)
    return tl.where((summed == summed) & (columns < tokens)[None, :], summed / width, float("inf"))


@triton.jit
def crowd(
    features: tl.tensor,
    density: tl.tensor,
    tokens: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_token: tl.tensor,
    NEIGHBOURS: tl.constexpr,
    SLOTS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write the density of tokens [ROWS * program_id(0), ...) of row `program_id(1)`."""
    batch = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    slots = tl.arange(0, SLOTS)[None, :]
    nearest = tl.zeros((ROWS, SLOTS), tl.float32) + tl.where(slots < NEIGHBOURS, float("inf"), float("-inf"))
    for start in range(0, tokens, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        apart = distance_tile(
            features + batch * feature_row, rows, columns, tokens, width, feature_token, ROWS, COLUMNS, CHANNELS
        )
        # The tile's smallest k, one after the other, each in place of the largest held so far where it is smaller.
        for _ in range(NEIGHBOURS):
            smallest = tl.min(apart, axis=1)
            place = tl.min(tl.where(apart == smallest[:, None], columns[None, :], 2**31 - 1), axis=1)
            apart = tl.where(columns[None, :] == place[:, None], float("inf"), apart)
            largest = tl.max(nearest, axis=1)
            slot = tl.min(tl.where(nearest == largest[:, None], slots, SLOTS), axis=1)
            better = (slots == slot[:, None]) & (smallest < largest)[:, None]
            nearest = tl.where(better, smallest[:, None], nearest)
    mean = tl.sum(tl.where(slots < NEIGHBOURS, nearest, 0.0), axis=1) / NEIGHBOURS
    tl.store(density + batch * tokens + rows, tl.exp(-mean), mask=rows < tokens)


@triton.jit
def nearest_denser(
    features: tl.tensor,
    density: tl.tensor,
    distance: tl.tensor,
    tokens: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_token: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write the distance of tokens [ROWS * program_id(0), ...) of row `program_id(1)` to the nearest denser one."""
    batch = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    mine = tl.load(density + batch * tokens + rows, mask=rows < tokens, other=0.0)
    nearest = tl.full((ROWS,), float("inf"), tl.float32)
    farthest = tl.zeros((ROWS,), tl.float32)
    denser_ones = tl.zeros((ROWS,), tl.int32)
    for start in range(0, tokens, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        inside = columns < tokens
        apart = distance_tile(
            features + batch * feature_row, rows, columns, tokens, width, feature_token, ROWS, COLUMNS, CHANNELS
        )
        others = tl.load(density + batch * tokens + columns, mask=inside, other=-1.0)
        earlier = columns[None, :] < rows[:, None]
        denser = (others[None, :] > mine[:, None]) | ((others[None, :] == mine[:, None]) & earlier)
        nearest = tl.minimum(nearest, tl.min(tl.where(denser, apart, float("inf")), axis=1))
        farthest = tl.maximum(farthest, tl.max(tl.where(inside[None, :], apart, 0.0), axis=1))
        denser_ones += tl.sum(denser.to(tl.int32), axis=1)
    found = tl.sqrt(tl.where(denser_ones > 0, nearest, farthest))
    tl.store(distance + batch * tokens + rows, found, mask=rows < tokens)


@on_own_device
def density_peaks_triton(features: torch.Tensor, *, neighbours: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """`density_peaks` on a GPU."""
    batch, tokens, width = features.shape
    features = features if features.stride(-1) == 1 else features.contiguous()
    density = torch.empty(batch, tokens, dtype=torch.float32, device=features.device)
    distance = torch.empty_like(density)
    near = min(neighbours, tokens)
    sizes = (tokens, width, *features.stride()[:2])
    tile = tuned("density_peaks", features.device, size=tokens)
    grid = (triton.cdiv(tokens, tile["ROWS"]), batch)
    crowd[grid](features, density, *sizes, NEIGHBOURS=near, SLOTS=triton.next_power_of_2(near), **tile)
    nearest_denser[grid](features, density, distance, *sizes, **tile)
    return density, distance
