"""Temporal runs in one launch: each program follows a few positions through all frames."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .similarity_triton import SMALLEST_NORM
from .temporal_runs import TemporalRuns
from .tuning import tuned


@triton.jit
def follow_positions(
    features: tl.tensor,
    similarity: tl.tensor,
    start: tl.tensor,
    length: tl.tensor,
    frames: tl.tensor,
    positions: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_frame: tl.tensor,
    feature_position: tl.tensor,
    threshold: tl.tensor,
    POSITIONS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Compare and count positions [POSITIONS * program_id(0), ...) of row `program_id(1)`, frame by frame."""
    row = tl.program_id(1).to(tl.int64)
    places = tl.program_id(0) * POSITIONS + tl.arange(0, POSITIONS)
    inside = places < positions
    clip = features + row * feature_row + places.to(tl.int64)[:, None] * feature_position
    out = row * frames * positions + places
    began = tl.zeros((POSITIONS,), tl.int64)
    counted = tl.zeros((POSITIONS,), tl.int64)
    norm_before = tl.zeros((POSITIONS,), tl.float32)
    for frame in range(frames):
        product = tl.zeros((POSITIONS,), tl.float32)
        square = tl.zeros((POSITIONS,), tl.float32)
        for first in range(0, width, CHANNELS):
            channels = first + tl.arange(0, CHANNELS)
            some = inside[:, None] & (channels < width)[None, :]
            here = clip + frame * feature_frame + channels[None, :]
            now = tl.load(here, mask=some, other=0.0).to(tl.float32)
            before = tl.load(here - feature_frame, mask=some & (frame > 0), other=0.0).to(tl.float32)
            product += tl.sum(now * before, axis=1)
            square += tl.sum(now * now, axis=1)
        norm = tl.maximum(tl.sqrt(square), SMALLEST_NORM, propagate_nan=tl.PropagateNan.ALL)
        cosine = tl.where(frame > 0, product / norm / tl.where(frame > 0, norm_before, 1.0), float("-inf"))
        norm_before = norm
        joins = (cosine >= threshold) & (frame > 0)
        began = tl.where(joins, began, frame)
        counted = tl.where(joins, counted, 0) + 1
        tl.store(similarity + out + frame * positions, cosine, mask=inside)
        tl.store(start + out + frame * positions, began, mask=inside)
        # A run's count is written again as it grows; where none begins, the zero that was there stays.
        tl.store(length + out + began * positions, counted, mask=inside)


@on_own_device
def temporal_runs_triton(features: torch.Tensor, *, threshold: float) -> TemporalRuns:
    """`temporal_runs` on a GPU."""
    batch, frames, positions, width = features.shape
    features = features if features.stride(-1) == 1 else features.contiguous()
    similarity = torch.empty(batch, frames, positions, dtype=torch.float32, device=features.device)
    start = torch.empty_like(similarity, dtype=torch.int64)
    length = torch.zeros_like(start)
    options = tuned("follow_positions", features.device, size=positions)
    options["CHANNELS"] = min(options["CHANNELS"], triton.next_power_of_2(width))
    follow_positions[(triton.cdiv(positions, options["POSITIONS"]), batch)](
        *(features, similarity, start, length, frames, positions, width),
        *(*features.stride()[:3], float(threshold)),
        **options,
    )
    return TemporalRuns(similarity, start, length)
