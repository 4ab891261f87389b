"""Segmented mean in one launch: each program looks for the members of one group and sums them, always in one order."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .tuning import tuned


@triton.jit
def mean_of_members(
    features: tl.tensor,
    assign: tl.tensor,
    weight: tl.tensor,
    means: tl.tensor,
    totals: tl.tensor,
    tokens: tl.tensor,
    groups: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_token: tl.tensor,
    HAS_WEIGHT: tl.constexpr,
    TOKENS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write channels [CHANNELS * program_id(1), ...) of group `program_id(0)`, counted over all rows."""
    group = tl.program_id(0)
    row = (group // groups).to(tl.int64)
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    channels_inside = channels < width
    summed = tl.zeros((CHANNELS,), tl.float32)
    total = tl.zeros((TOKENS,), tl.float32)
    for start in range(0, tokens, TOKENS):
        columns = start + tl.arange(0, TOKENS)
        joined = tl.load(assign + row * tokens + columns, mask=columns < tokens, other=-1)
        member = joined == group % groups
        if tl.sum(member.to(tl.int32), axis=0) > 0:
            share = member.to(tl.float32)
            if HAS_WEIGHT:
                share = tl.load(weight + row * tokens + columns, mask=member, other=0.0).to(tl.float32)
            found = tl.load(
                features + row * feature_row + columns.to(tl.int64)[:, None] * feature_token + channels[None, :],
                mask=member[:, None] & channels_inside[None, :],
                other=0.0,
            )
            summed += tl.sum(found.to(tl.float32) * share[:, None], axis=0)
            total += share
    whole = tl.sum(total, axis=0)
    mean = tl.where(whole == 0.0, 0.0, summed / tl.where(whole == 0.0, 1.0, whole))
    tl.store(means + group.to(tl.int64) * width + channels, mean, mask=channels_inside)
    if tl.program_id(1) == 0:
        tl.store(totals + group, whole)


@on_own_device
def segmented_mean_triton(
    features: torch.Tensor, assign: torch.Tensor, *, groups: int, weight: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """`segmented_mean` on a GPU."""
    batch, tokens, width = features.shape
    features = features if features.stride(-1) == 1 else features.contiguous()
    means = features.new_empty(batch, groups, width)
    totals = torch.empty(batch, groups, dtype=torch.float32, device=features.device)
    options = tuned("mean_of_members", features.device, size=tokens)
    options["CHANNELS"] = min(options["CHANNELS"], triton.next_power_of_2(width))
    mean_of_members[(batch * groups, triton.cdiv(width, options["CHANNELS"]))](
        *(features, assign.contiguous(), None if weight is None else weight.contiguous(), means, totals),
        *(tokens, groups, width, *features.stride()[:2]),
        HAS_WEIGHT=weight is not None,
        **options,
    )
    return means, totals
