"""Thin attention in two launches: log-sum-exp of each head's rows, then the rows, one head after the other."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .scores_triton import log_sum_exp, score_tile, weight_tile
from .similarity_triton import channels_at_once
from .thin_attention import Reduce
from .tuning import tuned


@triton.jit
def reduced_rows(
    query: tl.tensor,
    key: tl.tensor,
    mask: tl.tensor,
    query_segment: tl.tensor,
    key_segment: tl.tensor,
    total: tl.tensor,
    reduced: tl.tensor,
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
    mask_batch: tl.tensor,
    mask_head: tl.tensor,
    mask_row: tl.tensor,
    mask_column: tl.tensor,
    MASK: tl.constexpr,
    SEGMENTS: tl.constexpr,
    MEAN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write one tile of the reduced weights; the programs are (tiles of keys, tiles of queries, batch rows)."""
    batch = tl.program_id(2).to(tl.int64)
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    kept = tl.zeros((ROWS, COLUMNS), tl.float32)
    for head in range(heads):
        scores = score_tile(
            query + batch * query_batch + head * query_head,
            key + batch * key_batch + (head // repeats) * key_head,
            mask + batch * mask_batch + head * mask_head if MASK != "none" else mask,
            query_segment + batch * row_count if SEGMENTS else query_segment,
            key_segment + batch * column_count if SEGMENTS else key_segment,
            *(rows, columns, row_count, column_count, width, scale),
            *(query_stride, key_stride, mask_row, mask_column),
            *(MASK, SEGMENTS, False, CHANNELS),
        )
        place = total + (batch * heads + head) * row_count + rows
        weights = weight_tile(scores, tl.load(place, mask=rows < row_count, other=0.0))
        if MEAN:
            kept += weights
        else:
            kept = tl.maximum(kept, weights, propagate_nan=tl.PropagateNan.ALL)
    if MEAN:
        kept = kept / heads
    places = (batch * row_count + rows[:, None]) * column_count + columns[None, :]
    tl.store(reduced + places, kept, mask=(rows < row_count)[:, None] & (columns < column_count)[None, :])


@on_own_device
def thin_attention_triton(
    query: torch.Tensor,
    key: torch.Tensor,
    *,
    scale: float,
    mask: torch.Tensor | None = None,
    segments: tuple[torch.Tensor, torch.Tensor] | None = None,
    reduce: Reduce = "mean",
) -> torch.Tensor:
    """`thin_attention` on a GPU; queries and keys of one dtype."""
    batch, heads, rows, width = query.shape
    columns = key.shape[2]
    query, key = (part if part.stride(-1) == 1 else part.contiguous() for part in (query, key))
    total = torch.empty(batch, heads, rows, dtype=torch.float32, device=query.device)
    reduced = torch.empty(batch, rows, columns, dtype=torch.float32, device=query.device)
    kind = "none" if mask is None else "bool" if mask.dtype == torch.bool else "additive"
    spread = None if mask is None else mask.expand(batch, heads, rows, columns)
    of_rows, of_columns = (None, None) if segments is None else (part.contiguous() for part in segments)
    sizes = (heads, heads // key.shape[1], rows, columns, width, float(scale))
    strides = (*query.stride()[:3], *key.stride()[:3], *((0,) * 4 if spread is None else spread.stride()))
    tile = tuned("thin_attention", query.device, size=columns) | {"CHANNELS": channels_at_once(query)}
    flags = {"MASK": kind, "SEGMENTS": segments is not None}
    inputs = (query, key, spread, of_rows, of_columns, total)
    row_tiles, column_tiles = triton.cdiv(rows, tile["ROWS"]), triton.cdiv(columns, tile["COLUMNS"])
    log_sum_exp[(row_tiles, batch * heads)](*inputs, *sizes, *strides, **flags, CAUSAL=False, **tile)
    grid = (column_tiles, row_tiles, batch)
    reduced_rows[grid](*inputs, reduced, *sizes, *strides, **flags, MEAN=reduce == "mean", **tile)
    return reduced
