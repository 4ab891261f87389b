"""Top-k in one launch: one program ranks a row by bisection and writes the positions in order."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .ranking_triton import highest, row_keys
from .tuning import tuned


@triton.jit
def select_top_k(
    scores: tl.tensor,
    index: tl.tensor,
    score_row: tl.tensor,
    score_token: tl.tensor,
    tokens: tl.tensor,
    count: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Write the sorted positions of the `count` highest scores of row `program_id(0)`."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    taken = highest(row_keys(scores + row * score_row, columns, score_token, tokens), count)
    place = tl.cumsum(taken.to(tl.int32), axis=0) - 1
    tl.store(index + row * count + place, columns.to(tl.int64), mask=taken)


@on_own_device
def top_k_triton(scores: torch.Tensor, *, count: int) -> torch.Tensor:
    """`top_k` on a GPU; rows at most LONGEST_ROW wide, `count` at least 1."""
    tokens = scores.shape[-1]
    rows = scores.reshape(-1, tokens)
    index = torch.empty(*scores.shape[:-1], count, dtype=torch.int64, device=scores.device)
    select_top_k[(len(rows),)](
        *(rows, index, *rows.stride(), tokens, count),
        BLOCK=triton.next_power_of_2(tokens),
        **tuned("select_top_k", scores.device, size=tokens),
    )
    return index
