"""Weights of neighbours in one launch: a program writes the cosines of a few tokens, then ranks each row of them."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .ranking_triton import highest, rank_keys
from .similarity_triton import channels_at_once, cosine_tile
from .tuning import tuned


@triton.jit
def weigh_neighbours(
    keys: tl.tensor,
    scores: tl.tensor,
    index: tl.tensor,
    last: tl.tensor,
    assign: tl.tensor,
    weight: tl.tensor,
    tokens: tl.tensor,
    count: tl.tensor,
    neighbours: tl.tensor,
    width: tl.tensor,
    key_row: tl.tensor,
    key_token: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write the weights of tokens [ROWS * program_id(0), ...) of those that go on in row `program_id(1)`."""
    batch = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    rows_inside = rows < count
    own = tl.load(index + batch * count + rows, mask=rows_inside, other=0)
    for start in range(0, tokens, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        inside = columns < tokens
        column_offset = batch * key_row + columns.to(tl.int64) * key_token
        cosines = cosine_tile(
            *(keys, keys, batch * key_row + own * key_token, column_offset, rows_inside, inside, width),
            ROWS=ROWS,
            COLUMNS=COLUMNS,
            CHANNELS=CHANNELS,
        )
        at = weight + (batch * count + rows[:, None]) * tokens + columns[None, :]
        tl.store(at, cosines, mask=rows_inside[:, None] & inside[None, :])
    # Each row is read by other threads than those that wrote it.
    tl.debug_barrier()
    columns = tl.arange(0, BLOCK)
    inside = columns < tokens
    score = tl.load(scores + batch * tokens + columns, mask=inside, other=0.0)
    joined = tl.load(assign + batch * tokens + columns, mask=inside, other=-1)
    residual = tl.load(last + batch)
    first = tl.program_id(0) * ROWS
    for row in range(first, tl.minimum(first + ROWS, count)):
        token = tl.load(index + batch * count + row)
        at = weight + (batch * count + row) * tokens + columns
        similar = rank_keys(tl.load(at, mask=inside, other=0.0))
        near = highest(tl.where(inside & (columns != token), similar, -(2**31)), neighbours)
        collected = tl.where(columns == token, 1.0, tl.where(near, score, 0.0))
        tl.store(at, tl.where(token == residual, tl.where(joined == row, score, 0.0), collected), mask=inside)


@on_own_device
def neighbour_weights_triton(
    keys: torch.Tensor,
    scores: torch.Tensor,
    index: torch.Tensor,
    last: torch.Tensor,
    assign: torch.Tensor,
    *,
    neighbours: int,
) -> torch.Tensor:
    """`neighbour_weights` on a GPU; at most LONGEST_ROW tokens."""
    batch, tokens, width = keys.shape
    keys, count = keys if keys.stride(-1) == 1 else keys.contiguous(), index.shape[1]
    weight = torch.empty(batch, count, tokens, dtype=torch.float32, device=keys.device)
    options = tuned("weigh_neighbours", keys.device, size=tokens)
    weigh_neighbours[(triton.cdiv(count, options["ROWS"]), batch)](
        *(keys, scores.contiguous(), index.contiguous(), last.contiguous(), assign.contiguous(), weight),
        *(tokens, count, min(neighbours, tokens - 1), width, *keys.stride()[:2]),
        CHANNELS=channels_at_once(keys),
        BLOCK=triton.next_power_of_2(tokens),
        **options,
    )
    return weight
