"""Merging over time in one launch: one program ranks a clip twice, then follows its places from frame to frame."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .ranking_triton import highest, rank_keys
from .tuning import tuned

JOINS = tl.constexpr(-2)


@triton.jit
def join_runs(
    change: tl.tensor,
    scores: tl.tensor,
    index: tl.tensor,
    group: tl.tensor,
    tokens: tl.tensor,
    count: tl.tensor,
    frames: tl.tensor,
    positions: tl.tensor,
    threshold: tl.tensor,
    BLOCK: tl.constexpr,
    POSITIONS: tl.constexpr,
) -> None:
    """Merge and keep the tokens of row `program_id(0)`."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < tokens
    likeness = -tl.load(change + row * tokens + columns, mask=inside, other=0.0).to(tl.float32)
    likeness = tl.where(columns < positions, float("-inf"), likeness)
    least = highest(tl.where(inside, rank_keys(likeness), -(2**31)), tokens - count)
    joins = least & (likeness >= threshold)
    score = tl.load(scores + row * tokens + columns, mask=inside, other=0.0).to(tl.float32)
    score = tl.where(joins, float("-inf"), score)
    kept = highest(tl.where(inside, rank_keys(score), -(2**31)), count)
    place = tl.cumsum(kept.to(tl.int32), axis=0) - 1
    tl.store(index + row * count + place, columns.to(tl.int64), mask=kept)
    found = tl.where(joins, JOINS, tl.where(kept, place, -1))
    tl.store(group + row * tokens + columns, found.to(tl.int64), mask=inside)
    # What joins reads where its chain ends, which other threads have just written.
    tl.debug_barrier()
    spots = tl.arange(0, POSITIONS)
    end = tl.load(group + row * tokens + spots, mask=spots < positions, other=-1)
    for frame in range(1, frames):
        at = group + row * tokens + frame * positions + spots
        own = tl.load(at, mask=spots < positions, other=-1)
        end = tl.where(own == JOINS, end, own)
        tl.store(at, end, mask=spots < positions)


@on_own_device
def merged_runs_triton(
    change: torch.Tensor, scores: torch.Tensor, *, count: int, frames: int, threshold: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """`merged_runs` on a GPU; at most LONGEST_ROW tokens."""
    batch, tokens = change.shape
    index = torch.empty(batch, count, dtype=torch.int64, device=change.device)
    group = torch.empty(batch, tokens, dtype=torch.int64, device=change.device)
    join_runs[(batch,)](
        *(change.contiguous(), scores.contiguous(), index, group, tokens, count, frames, tokens // frames),
        float(threshold),
        BLOCK=triton.next_power_of_2(tokens),
        POSITIONS=triton.next_power_of_2(tokens // frames),
        **tuned("join_runs", change.device, size=tokens),
    )
    return index, group
