"""Bipartite soft matching in two launches: the best match of every token, then the pairs that merge."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .best_match_triton import best_match_triton
from .dispatch import on_own_device
from .ranking_triton import highest, rank_keys
from .tuning import tuned


@triton.jit
def join_matches(
    score: tl.tensor,
    match: tl.tensor,
    index: tl.tensor,
    group: tl.tensor,
    tokens: tl.tensor,
    count: tl.tensor,
    sources: tl.tensor,
    PARITY: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Join the best pairs of row `program_id(0)`; write the tokens that remain and where each token goes."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < tokens
    source = inside & (columns % 2 == PARITY)
    found = tl.load(score + row * sources + columns // 2, mask=source, other=0.0)
    joins = highest(tl.where(source, rank_keys(found), -(2**31)), tokens - count)
    remains = inside & (joins == 0)
    place = tl.cumsum(remains.to(tl.int32), axis=0) - 1
    tl.store(index + row * count + place, columns.to(tl.int64), mask=remains)
    tl.store(group + row * tokens + columns, place.to(tl.int64), mask=remains)
    # What joins reads where its goal went, which other threads have just written.
    tl.debug_barrier()
    goal = 1 - PARITY + 2 * tl.load(match + row * sources + columns // 2, mask=joins, other=0)
    tl.store(group + row * tokens + columns, tl.load(group + row * tokens + goal, mask=joins, other=0), mask=joins)


@on_own_device
def matched_pairs_triton(keys: torch.Tensor, *, count: int, parity: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """`matched_pairs` on a GPU; at most LONGEST_ROW tokens."""
    batch, tokens, _ = keys.shape
    score, match = best_match_triton(keys[:, parity::2], keys[:, 1 - parity :: 2])
    index = torch.empty(batch, count, dtype=torch.int64, device=keys.device)
    group = torch.empty(batch, tokens, dtype=torch.int64, device=keys.device)
    join_matches[(batch,)](
        *(score, match, index, group, tokens, count, score.shape[1]),
        PARITY=parity,
        BLOCK=triton.next_power_of_2(tokens),
        **tuned("join_matches", keys.device, size=tokens),
    )
    return index, group
