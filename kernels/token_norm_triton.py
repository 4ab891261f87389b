"""Token norms in one launch: each program sums the squares, or the magnitudes, of a few tokens."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .tuning import tuned


@triton.jit
def sum_squares(
    features: tl.tensor,
    norms: tl.tensor,
    tokens: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_token: tl.tensor,
    NEGATED: tl.constexpr,
    ORDER: tl.constexpr,
    TOKENS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write the norms of tokens [TOKENS * program_id(0), ...) of row `program_id(1)`."""
    row = tl.program_id(1).to(tl.int64)
    mine = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    inside = mine < tokens
    summed = tl.zeros((TOKENS,), tl.float32)
    for start in range(0, width, CHANNELS):
        channels = (start + tl.arange(0, CHANNELS))[None, :]
        place = features + row * feature_row + mine.to(tl.int64)[:, None] * feature_token + channels
        found = tl.load(place, mask=inside[:, None] & (channels < width), other=0.0).to(tl.float32)
        summed += tl.sum(found * found if ORDER == 2 else tl.abs(found), axis=1)
    norm = tl.sqrt(summed) if ORDER == 2 else summed
    tl.store(norms + row * tokens + mine, -norm if NEGATED else norm, mask=inside)


@on_own_device
def token_norm_triton(features: torch.Tensor, *, negated: bool = False, order: int = 2) -> torch.Tensor:
    """`token_norm` on a GPU."""
    batch, tokens, width = features.shape
    features = features if features.stride(-1) == 1 else features.contiguous()
    norms = torch.empty(batch, tokens, dtype=torch.float32, device=features.device)
    options = tuned("sum_squares", features.device, size=tokens)
    sum_squares[(triton.cdiv(tokens, options["TOKENS"]), batch)](
        *(features, norms, tokens, width, *features.stride()[:2]), NEGATED=negated, ORDER=order, **options
    )
    return norms
