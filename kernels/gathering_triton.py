"""Gathering at known places in one launch: each program moves a few tokens with their positions and sizes."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .gathering import Compacted
from .tuning import tuned


@triton.jit
def move_tokens(
    hidden: tl.tensor,
    positions: tl.tensor,
    sizes: tl.tensor,
    hidden_out: tl.tensor,
    positions_out: tl.tensor,
    sizes_out: tl.tensor,
    row: tl.tensor,
    source: tl.tensor,
    place: tl.tensor,
    taken: tl.tensor,
    batch: tl.tensor,
    count: tl.tensor,
    width: tl.tensor,
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
    CHANNELS: tl.constexpr,
) -> None:
    """Copy what belongs to tokens `source` of one row to the places `place` of its output, where `taken`."""
    out = row * count + place
    for start in range(0, width, CHANNELS):
        channels = (start + tl.arange(0, CHANNELS))[None, :]
        some = taken[:, None] & (channels < width)
        moved = tl.load(hidden + row * hidden_row + source[:, None] * hidden_token + channels, mask=some)
        tl.store(hidden_out + out[:, None] * width + channels, moved, mask=some)
    if HAS_POSITIONS:
        for axis in range(axes):
            at = positions + axis * position_axis + row * position_row + source * position_token
            tl.store(positions_out + axis * batch * count + out, tl.load(at, mask=taken), mask=taken)
    if HAS_SIZES:
        found = tl.load(sizes + row * size_row + source * size_token, mask=taken)
        tl.store(sizes_out + out, found, mask=taken)


@triton.jit
def gather_tokens(
    index: tl.tensor,
    hidden: tl.tensor,
    positions: tl.tensor,
    sizes: tl.tensor,
    hidden_out: tl.tensor,
    positions_out: tl.tensor,
    sizes_out: tl.tensor,
    batch: tl.tensor,
    count: tl.tensor,
    width: tl.tensor,
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
    TOKENS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Move kept tokens [TOKENS * program_id(0), ...) of row `program_id(1)`, whose indices are known."""
    row = tl.program_id(1).to(tl.int64)
    place = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    taken = place < count
    source = tl.load(index + row * count + place, mask=taken, other=0)
    move_tokens(
        *(hidden, positions, sizes, hidden_out, positions_out, sizes_out, row, source, place, taken),
        *(batch, count, width, axes, hidden_row, hidden_token),
        *(position_axis, position_row, position_token, size_row, size_token),
        *(HAS_POSITIONS, HAS_SIZES, CHANNELS),
    )


@on_own_device
def compact_at_triton(
    index: torch.Tensor,
    hidden: torch.Tensor,
    *,
    positions: torch.Tensor | None = None,
    sizes: torch.Tensor | None = None,
) -> Compacted:
    """`compact_at` on a GPU; at least one index."""
    index = index.contiguous()
    batch, count = index.shape
    hidden, places, kept = prepared(index, hidden, positions, sizes)
    options = tuned("gather_tokens", index.device, size=count)
    gather_tokens[(triton.cdiv(count, options["TOKENS"]), batch)](
        *(index, hidden, places, sizes, kept.hidden, kept.positions, kept.sizes),
        *(batch, count, hidden.shape[-1], *strides_of(hidden, places, sizes)),
        HAS_POSITIONS=places is not None,
        HAS_SIZES=sizes is not None,
        **options,
    )
    return kept


def prepared(
    index: torch.Tensor, hidden: torch.Tensor, positions: torch.Tensor | None, sizes: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None, Compacted]:
    """Hidden states with dense channels, positions as (P, B, N), and room for what is kept."""
    batch, count = index.shape
    hidden = hidden if hidden.stride(-1) == 1 else hidden.contiguous()
    places = None if positions is None else positions.reshape(-1, batch, positions.shape[-1])
    kept = Compacted(
        index,
        hidden.new_empty(batch, count, hidden.shape[-1]),
        None if positions is None else positions.new_empty(*positions.shape[:-1], count),
        None if sizes is None else sizes.new_empty(batch, count),
    )
    return hidden, places, kept


def strides_of(hidden: torch.Tensor, places: torch.Tensor | None, sizes: torch.Tensor | None) -> tuple[int, ...]:
    """How many axes positions have, then the strides of hidden states, positions and sizes."""
    return (
        1 if places is None else len(places),
        *hidden.stride()[:2],
        *((0, 0, 0) if places is None else places.stride()),
        *((0, 0) if sizes is None else sizes.stride()),
    )
