"""Token shifts in one launch: each program compares a few tokens with what they were."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .tuning import tuned


@triton.jit
def measure_shift(
    features: tl.tensor,
    before: tl.tensor,
    shifts: tl.tensor,
    tokens: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_token: tl.tensor,
    before_row: tl.tensor,
    before_token: tl.tensor,
    DISTANCE: tl.constexpr,
    TOKENS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write the shifts of tokens [TOKENS * program_id(0), ...) of row `program_id(1)`."""
    row = tl.program_id(1).to(tl.int64)
    mine = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    inside = mine < tokens
    now_at = features + row * feature_row + mine.to(tl.int64)[:, None] * feature_token
    then_at = before + row * before_row + mine.to(tl.int64)[:, None] * before_token
    summed = tl.zeros((TOKENS,), tl.float32)
    now_square = tl.zeros((TOKENS,), tl.float32)
    then_square = tl.zeros((TOKENS,), tl.float32)
    for start in range(0, width, CHANNELS):
        channels = start + tl.arange(0, CHANNELS)[None, :]
        some = inside[:, None] & (channels < width)
        now = tl.load(now_at + channels, mask=some, other=0.0).to(tl.float32)
        then = tl.load(then_at + channels, mask=some, other=0.0).to(tl.float32)
        if DISTANCE == "cosine":
            summed += tl.sum(now * then, axis=1)
            now_square += tl.sum(now * now, axis=1)
            then_square += tl.sum(then * then, axis=1)
        elif DISTANCE == "l1":
            summed += tl.sum(tl.abs(now - then), axis=1)
        else:
            summed += tl.sum((now - then) * (now - then), axis=1)
    if DISTANCE == "cosine":
        norms = tl.maximum(tl.sqrt(now_square), 1e-8) * tl.maximum(tl.sqrt(then_square), 1e-8)
        summed = 1.0 - summed / norms
    elif DISTANCE == "l2":
        summed = tl.sqrt(summed)
    tl.store(shifts + row * tokens + mine, summed, mask=inside)


@on_own_device
def token_shift_triton(features: torch.Tensor, before: torch.Tensor, *, distance: str = "l2") -> torch.Tensor:
    """`token_shift` on a GPU."""
    batch, tokens, width = features.shape
    features, before = (part if part.stride(-1) == 1 else part.contiguous() for part in (features, before))
    shifts = torch.empty(batch, tokens, dtype=torch.float32, device=features.device)
    options = tuned("measure_shift", features.device, size=tokens)
    measure_shift[(triton.cdiv(tokens, options["TOKENS"]), batch)](
        *(features, before, shifts, tokens, width, *features.stride()[:2], *before.stride()[:2]),
        DISTANCE=distance,
        **options,
    )
    return shifts
