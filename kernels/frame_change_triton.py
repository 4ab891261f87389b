"""Change between frames in one launch: each program compares a few places of one frame."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .similarity_triton import SMALLEST_NORM
from .tuning import tuned


@triton.jit
def compare_frames(
    features: tl.tensor,
    earlier: tl.tensor,
    whole: tl.tensor,
    scores: tl.tensor,
    positions: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_token: tl.tensor,
    POSITIONS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Score places [POSITIONS * program_id(0), ...) of frame `program_id(1)` of row `program_id(2)`."""
    frame = tl.program_id(1).to(tl.int64)
    places = tl.program_id(0) * POSITIONS + tl.arange(0, POSITIONS)
    inside = places < positions
    other = tl.load(earlier + frame)
    row = tl.program_id(2).to(tl.int64)
    if other < 0:
        score = tl.load(whole + (-1 - other) * positions + places, mask=inside, other=0.0)
    else:
        clip = features + row * feature_row
        now_at = clip + (frame * positions + places)[:, None] * feature_token
        then_at = clip + (other * positions + places)[:, None] * feature_token
        product = tl.zeros((POSITIONS,), tl.float32)
        now_square = tl.zeros((POSITIONS,), tl.float32)
        then_square = tl.zeros((POSITIONS,), tl.float32)
        for first in range(0, width, CHANNELS):
            channels = first + tl.arange(0, CHANNELS)
            some = inside[:, None] & (channels < width)[None, :]
            now = tl.load(now_at + channels[None, :], mask=some, other=0.0).to(tl.float32)
            then = tl.load(then_at + channels[None, :], mask=some, other=0.0).to(tl.float32)
            product += tl.sum(now * then, axis=1)
            now_square += tl.sum(now * now, axis=1)
            then_square += tl.sum(then * then, axis=1)
        now_norm = tl.maximum(tl.sqrt(now_square), SMALLEST_NORM, propagate_nan=tl.PropagateNan.ALL)
        then_norm = tl.maximum(tl.sqrt(then_square), SMALLEST_NORM, propagate_nan=tl.PropagateNan.ALL)
        score = -(product / now_norm / then_norm)
    tl.store(scores + (row * tl.num_programs(1) + frame) * positions + places, score, mask=inside)


@on_own_device
def frame_change_triton(
    features: torch.Tensor, earlier: torch.Tensor, whole: torch.Tensor, *, frames: int, positions: int
) -> torch.Tensor:
    """`frame_change` on a GPU."""
    batch, tokens, width = features.shape
    features = features if features.stride(-1) == 1 else features.contiguous()
    scores = torch.empty(batch, tokens, dtype=torch.float32, device=features.device)
    options = tuned("compare_frames", features.device, size=positions)
    options["CHANNELS"] = min(options["CHANNELS"], triton.next_power_of_2(width))
    compare_frames[(triton.cdiv(positions, options["POSITIONS"]), frames, batch)](
        *(features, earlier.contiguous(), whole.contiguous(), scores, positions, width, *features.stride()[:2]),
        **options,
    )
    return scores
