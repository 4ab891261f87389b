"""Mixing tokens in one launch: each program sums a few channels for a few groups, all tokens in their order."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .similarity_triton import exact_dot
from .tuning import tuned


@triton.jit
def mix_tiles(
    weight: tl.tensor,
    features: tl.tensor,
    mixed: tl.tensor,
    groups: tl.tensor,
    tokens: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_token: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write channels [CHANNELS * program_id(0), ...) of groups [ROWS * program_id(1), ...) of row `program_id(2)`."""
    batch = tl.program_id(2).to(tl.int64)
    channels = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    channels_inside, rows_inside = channels < width, rows < groups
    shares = weight + (batch * groups + rows)[:, None] * tokens
    summed = tl.zeros((ROWS, CHANNELS), tl.float32)
    for start in range(0, tokens, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        inside = columns < tokens
        share = tl.load(shares + columns[None, :], mask=rows_inside[:, None] & inside[None, :], other=0.0)
        at = features + batch * feature_row + columns.to(tl.int64)[:, None] * feature_token + channels[None, :]
        found = tl.load(at, mask=inside[:, None] & channels_inside[None, :], other=0.0)
        summed = exact_dot(share, found.to(tl.float32), summed)
    out = mixed + (batch * groups + rows)[:, None] * width + channels[None, :]
    tl.store(out, summed, mask=rows_inside[:, None] & channels_inside[None, :])


@on_own_device
def mix_tokens_triton(weight: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """`mix_tokens` on a GPU."""
    batch, groups, tokens = weight.shape
    features = features if features.stride(-1) == 1 else features.contiguous()
    width = features.shape[-1]
    mixed = features.new_empty(batch, groups, width)
    tile = tuned("mix_tiles", features.device, size=tokens)
    mix_tiles[(triton.cdiv(width, tile["CHANNELS"]), triton.cdiv(groups, tile["ROWS"]), batch)](
        *(weight.contiguous(), features, mixed, groups, tokens, width, *features.stride()[:2]), **tile
    )
    return mixed
