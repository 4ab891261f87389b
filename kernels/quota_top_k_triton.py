"""Top-k by quotas in one launch: each program ranks one frame and writes where the frames before it end."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .ranking_triton import highest, row_keys
from .tuning import tuned


@triton.jit
def select_by_quota(
    scores: tl.tensor,
    quotas: tl.tensor,
    starts: tl.tensor,
    index: tl.tensor,
    score_row: tl.tensor,
    score_token: tl.tensor,
    positions: tl.tensor,
    count: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Write the sorted positions of the best of frame `program_id(0)` of row `program_id(1)`."""
    frame, row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    first = frame.to(tl.int64) * positions
    keys = row_keys(scores + row * score_row + first * score_token, columns, score_token, positions)
    taken = highest(keys, tl.load(quotas + frame).to(tl.int32))
    place = tl.load(starts + frame) + tl.cumsum(taken.to(tl.int32), axis=0) - 1
    tl.store(index + row * count + place, first + columns, mask=taken)


@on_own_device
def quota_top_k_triton(
    scores: torch.Tensor, quotas: torch.Tensor, starts: torch.Tensor, *, count: int, frames: int
) -> torch.Tensor:
    """`quota_top_k` on a GPU; frames at most LONGEST_ROW wide, `count` at least 1."""
    batch, tokens = scores.shape
    positions = tokens // frames
    index = torch.empty(batch, count, dtype=torch.int64, device=scores.device)
    select_by_quota[(frames, batch)](
        *(scores, quotas.contiguous(), starts.contiguous(), index, *scores.stride(), positions, count),
        BLOCK=triton.next_power_of_2(positions),
        **tuned("select_by_quota", scores.device, size=positions),
    )
    return index
