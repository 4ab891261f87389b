"""Strided choice in one launch: one program ranks a row, strides over what remains and writes both."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .ranking_triton import highest, row_keys
from .tuning import tuned


@triton.jit
def choose_by_stride(
    scores: tl.tensor,
    index: tl.tensor,
    marked: tl.tensor,
    place: tl.tensor,
    score_row: tl.tensor,
    score_token: tl.tensor,
    tokens: tl.tensor,
    count: tl.tensor,
    best: tl.tensor,
    strided: tl.tensor,
    step: tl.tensor,
    parts: tl.tensor,
    LAST: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Choose among the tokens of row `program_id(0)`."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < tokens
    taken = highest(row_keys(scores + row * score_row, columns, score_token, tokens), best)
    rest = inside & (taken == 0)
    rank = tl.cumsum(rest.to(tl.int32), axis=0) - 1
    nth = (rank * parts + step - 1) // step  # the only one whose place, rounded down, can be this rank
    on_stride = rest & (nth < strided) & (nth * step // parts == rank)
    kept = taken | on_stride
    dropped = inside & (kept == 0)
    if LAST:
        last = tl.max(tl.where(dropped, columns, -1), axis=0)
        kept = kept | (columns == last)
        tl.store(marked + row, last.to(tl.int64))
    else:
        tl.store(marked + row * strided + nth, columns.to(tl.int64), mask=on_stride)
    own = tl.cumsum(kept.to(tl.int32), axis=0) - 1
    tl.store(index + row * count + own, columns.to(tl.int64), mask=kept)
    joined = tl.sum(tl.where(columns == last, own, 0), axis=0) if LAST else -1
    tl.store(place + row * tokens + columns, tl.where(dropped, joined, own).to(tl.int64), mask=inside)


@on_own_device
def strided_choice_triton(
    scores: torch.Tensor, *, best: int, strided: int, step: tuple[int, int] = (1, 1), last: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`strided_choice` on a GPU; rows at most LONGEST_ROW wide."""
    batch, tokens = scores.shape
    count = best + strided + last
    index = torch.empty(batch, count, dtype=torch.int64, device=scores.device)
    marked = torch.empty(batch, 1 if last else strided, dtype=torch.int64, device=scores.device)
    place = torch.empty(batch, tokens, dtype=torch.int64, device=scores.device)
    choose_by_stride[(batch,)](
        *(scores, index, marked, place, *scores.stride(), tokens, count, best, strided, *step),
        LAST=last,
        BLOCK=triton.next_power_of_2(tokens),
        **tuned("choose_by_stride", scores.device, size=tokens),
    )
    return index, marked, place
