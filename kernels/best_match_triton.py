"""Bipartite best match in one launch: tiles of cosines are made, compared and thrown away in registers."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .similarity_triton import channels_at_once, cosine_tile
from .tuning import tuned


@triton.jit
def most_similar(
    source: tl.tensor,
    target: tl.tensor,
    listed: tl.tensor,
    rows: tl.tensor,
    sources: tl.tensor,
    targets: tl.tensor,
    width: tl.tensor,
    source_token: tl.tensor,
    target_token: tl.tensor,
    LISTED: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> tl.tensor:
    """The highest cosine of source tokens `rows` and the first target that has it; pointers stand at one batch row.

    LISTED: targets are the tokens of `target` that stand at the positions in `listed`.
    """
    rows_inside = rows < sources
    row_offset = rows.to(tl.int64) * source_token
    best = tl.full((ROWS,), float("-inf"), tl.float32)
    place = tl.zeros((ROWS,), tl.int32)
    for start in range(0, targets, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        columns_inside = columns < targets
        token = columns.to(tl.int64)
        if LISTED:
            token = tl.load(listed + columns, mask=columns_inside, other=0)
        cosines = cosine_tile(
            *(source, target, row_offset, token * target_token, rows_inside, columns_inside, width),
            ROWS=ROWS,
            COLUMNS=COLUMNS,
            CHANNELS=CHANNELS,
        )
        cosines = tl.where((cosines == cosines) & columns_inside[None, :], cosines, float("-inf"))
        highest = tl.max(cosines, axis=1)
        first = tl.min(tl.where(cosines == highest[:, None], columns[None, :], 2**31 - 1), axis=1)
        place = tl.where(highest > best, first, place)
        best = tl.maximum(best, highest)
    return best, place


@triton.jit
def match_tiles(
    source: tl.tensor,
    target: tl.tensor,
    score: tl.tensor,
    match: tl.tensor,
    sources: tl.tensor,
    targets: tl.tensor,
    width: tl.tensor,
    source_row: tl.tensor,
    source_token: tl.tensor,
    target_row: tl.tensor,
    target_token: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Match source tokens [ROWS * program_id(0), ...) of row `program_id(1)` against all its targets."""
    batch = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    best, place = most_similar(
        *(source + batch * source_row, target + batch * target_row, match, rows, sources, targets, width),
        *(source_token, target_token),
        LISTED=False,
        ROWS=ROWS,
        COLUMNS=COLUMNS,
        CHANNELS=CHANNELS,
    )
    tl.store(score + batch * sources + rows, best, mask=rows < sources)
    tl.store(match + batch * sources + rows, place.to(tl.int64), mask=rows < sources)


@on_own_device
def best_match_triton(source: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`best_match` on a GPU; both sets of one dtype."""
    batch, sources, width = source.shape
    source, target = (part if part.stride(-1) == 1 else part.contiguous() for part in (source, target))
    score = torch.empty(batch, sources, dtype=torch.float32, device=source.device)
    match = torch.empty(batch, sources, dtype=torch.int64, device=source.device)
    options = tuned("match_tiles", source.device, size=sources)
    match_tiles[(triton.cdiv(sources, options["ROWS"]), batch)](
        *(source, target, score, match, sources, target.shape[1], width),
        *(*source.stride()[:2], *target.stride()[:2]),
        CHANNELS=channels_at_once(source),
        **options,
    )
    return score, match
