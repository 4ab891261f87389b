"""Chains of neighbours in two launches: all cosines with the token before, then one program joins a row."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .ranking_triton import highest, rank_keys
from .similarity_triton import SMALLEST_NORM
from .tuning import tuned


@triton.jit
def cosines_before(
    features: tl.tensor,
    likeness: tl.tensor,
    tokens: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_token: tl.tensor,
    TOKENS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write the cosine of tokens [TOKENS * program_id(0), ...) of row `program_id(1)` with the one before each."""
    row = tl.program_id(1).to(tl.int64)
    mine = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    inside = (mine > 0) & (mine < tokens)
    product = tl.zeros((TOKENS,), tl.float32)
    own_square = tl.zeros((TOKENS,), tl.float32)
    before_square = tl.zeros((TOKENS,), tl.float32)
    for start in range(0, width, CHANNELS):
        channels = (start + tl.arange(0, CHANNELS))[None, :]
        some = inside[:, None] & (channels < width)
        place = features + row * feature_row + mine.to(tl.int64)[:, None] * feature_token + channels
        own = tl.load(place, mask=some, other=0.0).to(tl.float32)
        before = tl.load(place - feature_token, mask=some, other=0.0).to(tl.float32)
        product += tl.sum(own * before, axis=1)
        own_square += tl.sum(own * own, axis=1)
        before_square += tl.sum(before * before, axis=1)
    own_norm = tl.maximum(tl.sqrt(own_square), SMALLEST_NORM, propagate_nan=tl.PropagateNan.ALL)
    before_norm = tl.maximum(tl.sqrt(before_square), SMALLEST_NORM, propagate_nan=tl.PropagateNan.ALL)
    tl.store(likeness + row * tokens + mine, product / own_norm / before_norm, mask=inside)


@triton.jit
def join_neighbours(
    likeness: tl.tensor,
    index: tl.tensor,
    assign: tl.tensor,
    tokens: tl.tensor,
    count: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Write the chains of row `program_id(0)`: their first tokens, and the chain of each token."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < tokens
    can_join = inside & (columns > 0)
    found = tl.load(likeness + row * tokens + columns, mask=can_join, other=0.0)
    joins = highest(tl.where(can_join, rank_keys(found), -(2**31)), tokens - count)
    begins = inside & (joins == 0)
    chain = tl.cumsum(begins.to(tl.int32), axis=0) - 1
    tl.store(assign + row * tokens + columns, chain.to(tl.int64), mask=inside)
    tl.store(index + row * count + chain, columns.to(tl.int64), mask=begins)


@on_own_device
def neighbour_chains_triton(features: torch.Tensor, *, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`neighbour_chains` on a GPU; at most LONGEST_ROW tokens."""
    batch, tokens, width = features.shape
    features = features if features.stride(-1) == 1 else features.contiguous()
    likeness = torch.empty(batch, tokens, dtype=torch.float32, device=features.device)
    index = torch.empty(batch, count, dtype=torch.int64, device=features.device)
    assign = torch.empty(batch, tokens, dtype=torch.int64, device=features.device)
    options = tuned("cosines_before", features.device, size=tokens)
    cosines_before[(triton.cdiv(tokens, options["TOKENS"]), batch)](
        *(features, likeness, tokens, width, *features.stride()[:2]), **options
    )
    join_neighbours[(batch,)](
        *(likeness, index, assign, tokens, count),
        BLOCK=triton.next_power_of_2(tokens),
        **tuned("join_neighbours", features.device, size=tokens),
    )
    return index, assign
