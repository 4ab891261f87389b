"""Pivot dissimilarity in two launches: tiles of cosines to the pivots, then all pivots' choices in one program."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .ranking_triton import highest, rank_keys
from .similarity_triton import channels_at_once, cosine_tile
from .tuning import tuned


@triton.jit
def pivot_cosines(
    features: tl.tensor,
    pivots: tl.tensor,
    cosines: tl.tensor,
    tokens: tl.tensor,
    pivot_count: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_token: tl.tensor,
    pivot_row: tl.tensor,
    pivot_token: tl.tensor,
    PIVOTS: tl.constexpr,
    TOKENS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write the (P, N) cosines of row `program_id(1)` for tokens [TOKENS * program_id(0), ...)."""
    batch = tl.program_id(1).to(tl.int64)
    rows = tl.arange(0, PIVOTS)
    columns = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    rows_inside, columns_inside = rows < pivot_count, columns < tokens
    row_offset = batch * pivot_row + rows.to(tl.int64) * pivot_token
    column_offset = batch * feature_row + columns.to(tl.int64) * feature_token
    found = cosine_tile(
        *(pivots, features, row_offset, column_offset, rows_inside, columns_inside, width),
        ROWS=PIVOTS,
        COLUMNS=TOKENS,
        CHANNELS=CHANNELS,
    )
    places = (batch * pivot_count + rows[:, None]) * tokens + columns[None, :]
    tl.store(cosines + places, found, mask=rows_inside[:, None] & columns_inside[None, :])


@triton.jit
def take_in_turn(
    cosines: tl.tensor,
    taken: tl.tensor,
    index: tl.tensor,
    tokens: tl.tensor,
    pivot_count: tl.tensor,
    count: tl.tensor,
    HAS_TAKEN: tl.constexpr,
    KEPT: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Let the pivots of row `program_id(0)` choose one after the other; write the sorted choice."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < tokens
    free = inside
    if HAS_TAKEN:
        free = free & (tl.load(taken + row * tokens + columns, mask=inside, other=1) == 0)
    chosen = columns < 0
    if KEPT > 0:
        chosen = inside & (free == 0)
    for pivot in range(pivot_count):
        found = tl.load(cosines + (row * pivot_count + pivot) * tokens + columns, mask=inside, other=0.0)
        share = count // pivot_count + (pivot < count % pivot_count).to(tl.int32)
        picked = highest(tl.where(free, rank_keys(-found), -(2**31)), share)
        chosen = chosen | picked
        free = free & (picked == 0)
    place = tl.cumsum(chosen.to(tl.int32), axis=0) - 1
    tl.store(index + row * (count + KEPT) + place, columns.to(tl.int64), mask=chosen)


@on_own_device
def least_similar_triton(
    features: torch.Tensor, pivots: torch.Tensor, *, count: int, taken: torch.Tensor | None = None, kept: int = 0
) -> torch.Tensor:
    """`least_similar` on a GPU; at most LONGEST_ROW tokens, `count` and `kept` at least 1 together."""
    batch, tokens, width = features.shape
    pivot_count = pivots.shape[1]
    features, pivots = (part if part.stride(-1) == 1 else part.contiguous() for part in (features, pivots))
    cosines = torch.empty(batch, pivot_count, tokens, dtype=torch.float32, device=features.device)
    options = tuned("pivot_cosines", features.device, size=tokens)
    pivot_cosines[(triton.cdiv(tokens, options["TOKENS"]), batch)](
        *(features, pivots, cosines, tokens, pivot_count, width, *features.stride()[:2], *pivots.stride()[:2]),
        PIVOTS=max(16, triton.next_power_of_2(pivot_count)),
        CHANNELS=channels_at_once(features),
        **options,
    )
    index = torch.empty(batch, count + kept, dtype=torch.int64, device=features.device)
    gone = None if taken is None else taken.to(torch.int8).contiguous()
    take_in_turn[(batch,)](
        *(cosines, gone, index, tokens, pivot_count, count),
        HAS_TAKEN=taken is not None,
        KEPT=kept,
        BLOCK=triton.next_power_of_2(tokens),
        **tuned("take_in_turn", features.device, size=tokens),
    )
    return index
