"""Attention scores in tiles and their log-sum-exp, for the kernels that read whole softmax rows or columns."""

from __future__ import annotations

import triton
import triton.language as tl

from .similarity_triton import exact_dot


@triton.jit
def score_tile(
    query: tl.tensor,
    key: tl.tensor,
    mask: tl.tensor,
    query_segment: tl.tensor,
    key_segment: tl.tensor,
    rows: tl.tensor,
    columns: tl.tensor,
    row_count: tl.tensor,
    column_count: tl.tensor,
    width: tl.tensor,
    scale: tl.tensor,
    query_stride: tl.tensor,
    key_stride: tl.tensor,
    mask_row: tl.tensor,
    mask_column: tl.tensor,
    MASK: tl.constexpr,
    SEGMENTS: tl.constexpr,
    CAUSAL: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> tl.tensor:
    """Scaled and masked float32 scores of `rows` against `columns`; pointers stand at one batch row and head.

    The channels are read CHANNELS at a time. MASK is "none", "bool" or "additive". CAUSAL hides the keys after each
    query, whose last row stands at the last key. What lies outside, or must not be seen, is -inf.
    """
    rows_inside, columns_inside = rows < row_count, columns < column_count
    scores = tl.zeros((rows.shape[0], columns.shape[0]), tl.float32)
    for start in range(0, width, CHANNELS):
        channels = start + tl.arange(0, CHANNELS)
        inside = (channels < width)[None, :]
        q_place = query + rows.to(tl.int64)[:, None] * query_stride + channels[None, :]
        k_place = key + columns.to(tl.int64)[:, None] * key_stride + channels[None, :]
        q = tl.load(q_place, mask=rows_inside[:, None] & inside, other=0.0)
        k = tl.load(k_place, mask=columns_inside[:, None] & inside, other=0.0)
        scores = exact_dot(q, tl.trans(k), scores)
    scores = scores * scale
    seen = rows_inside[:, None] & columns_inside[None, :]
    if MASK != "none":
        place = mask + rows.to(tl.int64)[:, None] * mask_row + columns.to(tl.int64)[None, :] * mask_column
        if MASK == "bool":
            seen = seen & (tl.load(place, mask=seen, other=0) != 0)
        else:
            scores += tl.load(place, mask=seen, other=0.0).to(tl.float32)
    if SEGMENTS:
        of_rows = tl.load(query_segment + rows, mask=rows_inside, other=0)
        of_columns = tl.load(key_segment + columns, mask=columns_inside, other=0)
        seen = seen & (of_rows[:, None] == of_columns[None, :])
    if CAUSAL:
        seen = seen & (columns[None, :] <= rows[:, None] + (column_count - row_count))
    return tl.where(seen, scores, float("-inf"))


@triton.jit
def log_sum_exp(
    query: tl.tensor,
    key: tl.tensor,
    mask: tl.tensor,
    query_segment: tl.tensor,
    key_segment: tl.tensor,
    total: tl.tensor,
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
    CAUSAL: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write log sum exp of the scores of queries [ROWS * program_id(0), ...) in batch row and head `program_id(1)`."""
    batch = (tl.program_id(1) // heads).to(tl.int64)
    head = (tl.program_id(1) % heads).to(tl.int64)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    largest = tl.full((ROWS,), float("-inf"), tl.float32)
    summed = tl.zeros((ROWS,), tl.float32)
    end = column_count
    if CAUSAL:  # no query of this tile sees further
        end = tl.minimum(column_count, (tl.program_id(0) + 1) * ROWS + column_count - row_count)
    for start in range(0, end, COLUMNS):
        scores = score_tile(
            query + batch * query_batch + head * query_head,
            key + batch * key_batch + (head // repeats) * key_head,
            mask + batch * mask_batch + head * mask_head if MASK != "none" else mask,
            query_segment + batch * row_count if SEGMENTS else query_segment,
            key_segment + batch * column_count if SEGMENTS else key_segment,
            *(rows, start + tl.arange(0, COLUMNS), row_count, column_count, width, scale),
            *(query_stride, key_stride, mask_row, mask_column),
            *(MASK, SEGMENTS, CAUSAL, CHANNELS),
        )
        grown = tl.maximum(largest, tl.max(scores, axis=1))
        base = tl.where(grown == float("-inf"), 0.0, grown)
        summed = summed * tl.exp(largest - base) + tl.sum(tl.exp(scores - base[:, None]), axis=1)
        largest = grown
    blind = summed == 0.0
    found = tl.where(blind, float("-inf"), largest + tl.log(tl.where(blind, 1.0, summed)))
    tl.store(total + tl.program_id(1).to(tl.int64) * row_count + rows, found, mask=rows < row_count)


@triton.jit
def weight_tile(scores: tl.tensor, total: tl.tensor) -> tl.tensor:
    """Softmax weights from scores (R, N) and their rows' log-sum-exp (R,); rows that see nothing have weight 0."""
    return tl.exp(scores - tl.where(total == float("-inf"), 0.0, total)[:, None])
