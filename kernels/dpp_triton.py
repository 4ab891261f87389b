"""Greedy DPP selection in one launch: one program holds a row's unexplained variances, the factor stays in memory."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .dpp import SPENT
from .ranking_triton import first_largest
from .tuning import tuned


@triton.jit
def grow_determinant(
    kernel: tl.tensor,
    factor: tl.tensor,
    order: tl.tensor,
    tokens: tl.tensor,
    count: tl.tensor,
    spent_share: tl.tensor,
    SORTED: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Choose `count` tokens of row `program_id(0)`; `factor` (B, K, N) float32 is room to work in."""
    batch = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < tokens
    table = kernel + batch * tokens * tokens
    known = factor + batch * count * tokens
    left = tl.load(table + columns.to(tl.int64) * (tokens + 1), mask=inside, other=0.0).to(tl.float32)
    left = tl.where(left == left, left, 0.0)
    spent = tl.maximum(tl.max(left, axis=0), 0.0) * spent_share
    left = tl.where(inside, left, float("-inf"))
    for step in range(count):
        left = tl.where((left > spent) | (left == float("-inf")), left, 0.0)
        chosen = first_largest(left, columns)
        if not SORTED:
            tl.store(order + batch * count + step, chosen.to(tl.int64))
        scale = tl.max(left, axis=0)
        explained = tl.zeros((BLOCK,), tl.float32)
        for earlier in range(step):
            weight = tl.load(known + earlier * tokens + chosen)
            explained += weight * tl.load(known + earlier * tokens + columns, mask=inside, other=0.0)
        found = tl.load(table + chosen.to(tl.int64) * tokens + columns, mask=inside, other=0.0).to(tl.float32)
        found = tl.where(found == found, found, 0.0)
        found = tl.where(scale > 0.0, (found - explained) / tl.sqrt(tl.where(scale > 0.0, scale, 1.0)), 0.0)
        tl.store(known + step * tokens + columns, found, mask=inside)
        # The next step reads, at one column, what other threads have just written.
        tl.debug_barrier()
        left = tl.where(columns == chosen, float("-inf"), left - found * found)
    if SORTED:
        kept = inside & (left == float("-inf"))
        place = tl.cumsum(kept.to(tl.int32), axis=0) - 1
        tl.store(order + batch * count + place, columns.to(tl.int64), mask=kept)


@on_own_device
def dpp_greedy_triton(kernel: torch.Tensor, count: int, *, in_order: bool = False) -> torch.Tensor:
    """`dpp_greedy` on a GPU; at most LONGEST_ROW tokens. With `in_order` in order of position, not of selection."""
    batch, tokens, _ = kernel.shape
    order = torch.empty(batch, count, dtype=torch.int64, device=kernel.device)
    factor = torch.empty(batch, count, tokens, dtype=torch.float32, device=kernel.device)
    grow_determinant[(batch,)](
        *(kernel.contiguous(), factor, order, tokens, count, SPENT),
        SORTED=in_order,
        BLOCK=triton.next_power_of_2(tokens),
        **tuned("grow_determinant", kernel.device, size=tokens),
    )
    return order
