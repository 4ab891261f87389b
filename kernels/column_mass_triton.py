"""Column mass in two launches: log-sum-exp of every row, then each program sums its columns over heads and queries."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .scores_triton import log_sum_exp, score_tile, weight_tile
from .similarity_triton import channels_at_once
from .tuning import tuned


@triton.jit
def summed_columns(
    query: tl.tensor,
    key: tl.tensor,
    query_segment: tl.tensor,
    key_segment: tl.tensor,
    total: tl.tensor,
    mass: tl.tensor,
    heads: tl.tensor,
    repeats: tl.tensor,
    row_count: tl.tensor,
    column_count: tl.tensor,
    width: tl.tensor,
    scale: tl.tensor,
    query_batch: tl.tensor,
    query_head: tl.tensor,
    query_stride: tl.tensor,
    key_batch: tl.tensor,
    key_head: tl.tensor,
    key_stride: tl.tensor,
    SEGMENTS: tl.constexpr,
    CAUSAL: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write the mass of keys [COLUMNS * program_id(0), ...) of batch row `program_id(1)`."""
    batch = tl.program_id(1).to(tl.int64)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    summed = tl.zeros((COLUMNS,), tl.float32)
    first = 0
    if CAUSAL:  # no earlier query sees this tile
        first = tl.maximum(0, tl.program_id(0) * COLUMNS + row_count - column_count) // ROWS * ROWS
    for head in range(heads):
        for start in range(first, row_count, ROWS):
            rows = start + tl.arange(0, ROWS)
            scores = score_tile(
                query + batch * query_batch + head * query_head,
                key + batch * key_batch + (head // repeats) * key_head,
                None,
                query_segment + batch * row_count if SEGMENTS else query_segment,
                key_segment + batch * column_count if SEGMENTS else key_segment,
                *(rows, columns, row_count, column_count, width, scale, query_stride, key_stride, 0, 0),
                *("none", SEGMENTS, CAUSAL, CHANNELS),
            )
            place = total + (batch * heads + head) * row_count + rows
            weights = weight_tile(scores, tl.load(place, mask=rows < row_count, other=0.0))
            summed += tl.sum(weights, axis=0)
    tl.store(mass + batch * column_count + columns, summed / heads, mask=columns < column_count)


@on_own_device
def column_mass_triton(
    query: torch.Tensor,
    key: torch.Tensor,
    *,
    scale: float,
    causal: bool = False,
    segments: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """`column_mass` on a GPU; queries and keys of one dtype."""
    batch, heads, rows, width = query.shape
    columns = key.shape[2]
    query, key = (part if part.stride(-1) == 1 else part.contiguous() for part in (query, key))
    total = torch.empty(batch, heads, rows, dtype=torch.float32, device=query.device)
    mass = torch.empty(batch, columns, dtype=torch.float32, device=query.device)
    ids = (None, None) if segments is None else tuple(part.contiguous() for part in segments)
    sizes = (heads, heads // key.shape[1], rows, columns, width, float(scale))
    strides = (*query.stride()[:3], *key.stride()[:3])
    tile = tuned("column_mass", query.device, size=columns) | {"CHANNELS": channels_at_once(query)}
    flags = {"SEGMENTS": segments is not None, "CAUSAL": causal}
    log_sum_exp[(triton.cdiv(rows, tile["ROWS"]), batch * heads)](
        *(query, key, None, *ids, total), *sizes, *strides, *(0, 0, 0, 0), MASK="none", **flags, **tile
    )
    grid = (triton.cdiv(columns, tile["COLUMNS"]), batch)
    summed_columns[grid](query, key, *ids, total, mass, *sizes, *strides, **flags, **tile)
    return mass
