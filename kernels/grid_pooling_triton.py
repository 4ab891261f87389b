"""Grid pooling in one launch: each program walks through the cells of one bin."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .grid_pooling import Grid, Mode
from .tuning import tuned


@triton.jit
def pool_bin(
    features: tl.tensor,
    out: tl.tensor,
    frames: tl.tensor,
    height: tl.tensor,
    breadth: tl.tensor,
    out_frames: tl.tensor,
    out_height: tl.tensor,
    out_breadth: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_token: tl.tensor,
    MEAN: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write channels [CHANNELS * program_id(1), ...) of bin `program_id(0)`, counted over all rows."""
    bin_of_all = tl.program_id(0)
    column = bin_of_all % out_breadth
    line = bin_of_all // out_breadth % out_height
    frame = bin_of_all // (out_breadth * out_height) % out_frames
    row = (bin_of_all // (out_breadth * out_height * out_frames)).to(tl.int64)
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channels < width
    first_frame, last_frame = tl.cdiv(frame * frames, out_frames), tl.cdiv((frame + 1) * frames, out_frames)
    first_line, last_line = tl.cdiv(line * height, out_height), tl.cdiv((line + 1) * height, out_height)
    first_column, last_column = tl.cdiv(column * breadth, out_breadth), tl.cdiv((column + 1) * breadth, out_breadth)
    kept = tl.zeros((CHANNELS,), tl.float32) if MEAN else tl.full((CHANNELS,), float("-inf"), tl.float32)
    for t in range(first_frame, last_frame):
        for y in range(first_line, last_line):
            for x in range(first_column, last_column):
                token = (t * height + y) * breadth + x
                cell = tl.load(features + row * feature_row + token * feature_token + channels, mask=inside, other=0.0)
                if MEAN:
                    kept += cell.to(tl.float32)
                else:
                    kept = tl.maximum(kept, cell.to(tl.float32), propagate_nan=tl.PropagateNan.ALL)
    if MEAN:
        kept = kept / ((last_frame - first_frame) * (last_line - first_line) * (last_column - first_column))
    tl.store(out + bin_of_all.to(tl.int64) * width + channels, kept, mask=inside)


@on_own_device
def pool_grid_triton(features: torch.Tensor, *, grid: Grid, pooled: Grid, mode: Mode = "mean") -> torch.Tensor:
    """`pool_grid` on a GPU."""
    batch, _, width = features.shape
    features = features if features.stride(-1) == 1 else features.contiguous()
    bins = pooled[0] * pooled[1] * pooled[2]
    out = features.new_empty(batch, bins, width)
    options = tuned("pool_bin", features.device, size=bins)
    options["CHANNELS"] = min(options["CHANNELS"], triton.next_power_of_2(width))
    pool_bin[(batch * bins, triton.cdiv(width, options["CHANNELS"]))](
        *(features, out, *grid, *pooled, width, *features.stride()[:2]), MEAN=mode == "mean", **options
    )
    return out
