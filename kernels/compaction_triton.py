"""Top-k compaction in one launch: every program ranks the row for itself and moves what is kept of its tile.

Ranking a row once more costs a program less than a second launch; nothing has to be handed over between programs.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .gathering import Compacted
from .gathering_triton import move_tokens, prepared, strides_of
from .ranking_triton import row_keys, threshold_key
from .tuning import tuned


@triton.jit
def select_and_gather(
    scores: tl.tensor,
    index: tl.tensor,
    hidden: tl.tensor,
    positions: tl.tensor,
    sizes: tl.tensor,
    hidden_out: tl.tensor,
    positions_out: tl.tensor,
    sizes_out: tl.tensor,
    score_row: tl.tensor,
    score_token: tl.tensor,
    tokens: tl.tensor,
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
    ROW: tl.constexpr,
    TOKENS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Keep the best of tokens [TOKENS * program_id(0), ...) of row `program_id(1)` that are among its `count` best."""
    row = tl.program_id(1).to(tl.int64)
    first = tl.program_id(0) * TOKENS
    columns = tl.arange(0, ROW)
    keys = row_keys(scores + row * score_row, columns, score_token, tokens)
    threshold = threshold_key(keys, count)
    spare = count - tl.sum((keys > threshold).to(tl.int32), axis=0)
    above_before = tl.sum(((keys > threshold) & (columns < first)).to(tl.int32), axis=0)
    equal_before = tl.sum(((keys == threshold) & (columns < first)).to(tl.int32), axis=0)
    mine = first + tl.arange(0, TOKENS)
    own = row_keys(scores + row * score_row, mine, score_token, tokens)
    equal = own == threshold
    taken = (own > threshold) | (equal & (equal_before + tl.cumsum(equal.to(tl.int32), axis=0) <= spare))
    place = above_before + tl.minimum(equal_before, spare) + tl.cumsum(taken.to(tl.int32), axis=0) - 1
    tl.store(index + row * count + place, mine.to(tl.int64), mask=taken)
    move_tokens(
        *(hidden, positions, sizes, hidden_out, positions_out, sizes_out, row, mine.to(tl.int64), place, taken),
        *(batch, count, width, axes, hidden_row, hidden_token),
        *(position_axis, position_row, position_token, size_row, size_token),
        *(HAS_POSITIONS, HAS_SIZES, CHANNELS),
    )


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
    index = torch.empty(batch, count, dtype=torch.int64, device=scores.device)
    hidden, places, kept = prepared(index, hidden, positions, sizes)
    options = tuned("select_and_gather", scores.device, size=tokens)
    select_and_gather[(triton.cdiv(tokens, options["TOKENS"]), batch)](
        *(scores, index, hidden, places, sizes, kept.hidden, kept.positions, kept.sizes),
        *(*scores.stride(), tokens, batch, count, hidden.shape[-1], *strides_of(hidden, places, sizes)),
        HAS_POSITIONS=places is not None,
        HAS_SIZES=sizes is not None,
        ROW=triton.next_power_of_2(tokens),
        **options,
    )
    return kept
