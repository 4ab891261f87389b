"""Top-k compaction in two launches: one program ranks a row, then one program moves each piece of each kept token."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .compaction import Compacted
from .dispatch import on_own_device
from .ranking_triton import highest, rank_keys


@triton.jit
def select_top_k(
    scores: tl.tensor,
    index: tl.tensor,
    row_stride: tl.tensor,
    column_stride: tl.tensor,
    tokens: tl.tensor,
    count: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Write the sorted positions of the `count` highest scores of row `program_id(0)`."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < tokens
    found = tl.load(scores + row * row_stride + columns * column_stride, mask=inside, other=0.0)
    taken = highest(tl.where(inside, rank_keys(found), -(2**31)), count)
    place = tl.cumsum(taken.to(tl.int32), axis=0) - 1
    tl.store(index + row * count + place, columns.to(tl.int64), mask=taken)


@triton.jit
def gather_tokens(
    index: tl.tensor,
    hidden: tl.tensor,
    positions: tl.tensor,
    sizes: tl.tensor,
    hidden_out: tl.tensor,
    positions_out: tl.tensor,
    sizes_out: tl.tensor,
    count: tl.tensor,
    width: tl.tensor,
    batch: tl.tensor,
    axes: tl.tensor,
    hidden_row: tl.tensor,
    hidden_token: tl.tensor,
    position_axis: tl.tensor,
    position_row: tl.tensor,
    position_token: tl.tensor,
    size_row: tl.tensor,
    size_token: tl.tensor,
    HAS_POSITIONS: tl.constexpr,
    HAS_SIZES: tl.constexpr,
    AXES: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Copy channels [BLOCK * program_id(1), ...) of kept token `program_id(0)`, and once its positions and size."""
    kept = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    row = kept // count
    token = tl.load(index + kept)
    channels = part * BLOCK + tl.arange(0, BLOCK)
    inside = channels < width
    source = hidden + row * hidden_row + token * hidden_token + channels
    tl.store(hidden_out + kept * width + channels, tl.load(source, mask=inside), mask=inside)
    if part == 0:
        if HAS_POSITIONS:
            axis = tl.arange(0, AXES)
            found = tl.load(
                positions + axis * position_axis + row * position_row + token * position_token, mask=axis < axes
            )
            tl.store(positions_out + axis * batch * count + kept, found, mask=axis < axes)
        if HAS_SIZES:
            tl.store(sizes_out + kept, tl.load(sizes + row * size_row + token * size_token))


@on_own_device
def compact_top_k_triton(
    scores: torch.Tensor,
    hidden: torch.Tensor,
    *,
    count: int,
    positions: torch.Tensor | None = None,
    sizes: torch.Tensor | None = None,
) -> Compacted:
    """`compact_top_k` on a GPU; `scores` at most LONGEST_ROW wide, `count` at least 1."""
    batch, tokens = scores.shape
    width = hidden.shape[-1]
    hidden = hidden if hidden.stride(-1) == 1 else hidden.contiguous()
    index = torch.empty(batch, count, dtype=torch.int64, device=scores.device)
    select_top_k[(batch,)](
        *(scores, index, *scores.stride(), tokens, count),
        BLOCK=triton.next_power_of_2(tokens),
        num_warps=4 if tokens <= 4096 else 8,
    )
    places = None if positions is None else positions.reshape(-1, batch, tokens)
    kept = Compacted(
        index,
        hidden.new_empty(batch, count, width),
        None if positions is None else positions.new_empty(*positions.shape[:-1], count),
        None if sizes is None else sizes.new_empty(batch, count),
    )
    axes = 1 if places is None else len(places)
    block = min(1024, triton.next_power_of_2(width))
    gather_tokens[(batch * count, triton.cdiv(width, block))](
        *(index, hidden, places, sizes, kept.hidden, kept.positions, kept.sizes),
        *(count, width, batch, axes, *hidden.stride()[:2]),
        *((0, 0, 0) if places is None else places.stride()),
        *((0, 0) if sizes is None else sizes.stride()),
        HAS_POSITIONS=places is not None,
        HAS_SIZES=sizes is not None,
        AXES=triton.next_power_of_2(axes),
        BLOCK=block,
    )
    return kept
