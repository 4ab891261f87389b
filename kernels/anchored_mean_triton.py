"""Anchored means in one launch: each program looks for the members of one group, from the last token to the first."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .tuning import tuned


@triton.jit
def collect_members(
    features: tl.tensor,
    index: tl.tensor,
    assign: tl.tensor,
    means: tl.tensor,
    tokens: tl.tensor,
    groups: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_token: tl.tensor,
    HALVING: tl.constexpr,
    TOKENS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write channels [CHANNELS * program_id(1), ...) of group `program_id(0)`, counted over all rows."""
    group = tl.program_id(0)
    row = (group // groups).to(tl.int64)
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    channels_inside = channels < width
    clip = features + row * feature_row + channels
    anchor = tl.load(index + group)
    summed = tl.zeros((CHANNELS,), tl.float32)
    arrived = 0
    for tile in range(tl.cdiv(tokens, TOKENS)):
        columns = tokens - 1 - tile * TOKENS - tl.arange(0, TOKENS)  # from the last: how many follow is known
        joined = tl.load(assign + row * tokens + columns, mask=columns >= 0, other=-1)
        member = (joined == group % groups) & (columns != anchor)
        if tl.sum(member.to(tl.int32), axis=0) > 0:
            share = member.to(tl.float32)
            if HALVING:
                share = tl.exp2(-(arrived + tl.cumsum(member.to(tl.int32), axis=0)).to(tl.float32))
            place = clip[None, :] + columns.to(tl.int64)[:, None] * feature_token
            found = tl.load(place, mask=member[:, None] & channels_inside[None, :], other=0.0)
            summed += tl.sum(found.to(tl.float32) * share[:, None], axis=0)
            arrived += tl.sum(member.to(tl.int32), axis=0)
    own = tl.load(clip + anchor * feature_token, mask=channels_inside, other=0.0).to(tl.float32)
    if HALVING:
        mean = own * tl.exp2(-(tl.zeros((CHANNELS,), tl.float32) + arrived)) + summed
    else:
        mean = own + summed / tl.maximum(arrived, 1)
    tl.store(means + group.to(tl.int64) * width + channels, tl.where(arrived > 0, mean, own), mask=channels_inside)


@on_own_device
def anchored_mean_triton(
    features: torch.Tensor, index: torch.Tensor, assign: torch.Tensor, *, halving: bool = False
) -> torch.Tensor:
    """`anchored_mean` on a GPU."""
    batch, tokens, width = features.shape
    features = features if features.stride(-1) == 1 else features.contiguous()
    groups = index.shape[1]
    means = features.new_empty(batch, groups, width)
    options = tuned("collect_members", features.device, size=tokens)
    options["CHANNELS"] = min(options["CHANNELS"], triton.next_power_of_2(width))
    collect_members[(batch * groups, triton.cdiv(width, options["CHANNELS"]))](
        *(features, index.contiguous(), assign.contiguous(), means, tokens, groups, width),
        *features.stride()[:2],
        HALVING=halving,
        **options,
    )
    return means
