"""The greedy max-min steps in one launch: one program holds a row's distances to the nearest chosen token."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .ranking_triton import first_largest
from .tuning import tuned


@triton.jit
def grow_farthest(
    distance: tl.tensor,
    start: tl.tensor,
    order: tl.tensor,
    tokens: tl.tensor,
    count: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Choose `count` tokens of row `program_id(0)`, reading one row of distances for each."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < tokens
    table = distance + row * tokens * tokens
    nearest = tl.where(inside, float("inf"), float("-inf"))
    chosen = tl.load(start + row).to(tl.int32)
    for step in range(count):
        tl.store(order + row * count + step, chosen.to(tl.int64))
        found = tl.load(table + chosen.to(tl.int64) * tokens + columns, mask=inside, other=float("-inf"))
        nearest = tl.minimum(nearest, found)
        chosen = first_largest(nearest, columns)


@on_own_device
def farthest_first_triton(distance: torch.Tensor, start: torch.Tensor, *, count: int) -> torch.Tensor:
    """`farthest_first` on a GPU; at most LONGEST_ROW tokens."""
    batch, tokens, _ = distance.shape
    order = torch.empty(batch, count, dtype=torch.int64, device=distance.device)
    grow_farthest[(batch,)](
        *(distance.contiguous(), start, order, tokens, count),
        BLOCK=triton.next_power_of_2(tokens),
        **tuned("grow_farthest", distance.device, size=tokens),
    )
    return order
