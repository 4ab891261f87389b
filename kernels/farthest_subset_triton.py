"""The max-min subset in two launches: all distances with each token's nearest, then the greedy steps of a row."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .ranking_triton import first_largest
from .similarity_triton import channels_at_once, cosine_tile
from .tuning import tuned


@triton.jit
def distance_rows(
    features: tl.tensor,
    distance: tl.tensor,
    nearest: tl.tensor,
    tokens: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_token: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write 1 - cosine of tokens [ROWS * program_id(0), ...) to all of batch row `program_id(1)`, and its minimum.

    The diagonal is -inf, so that a chosen token cannot be chosen again; it takes no part in the minimum.
    """
    batch = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    rows_inside = rows < tokens
    row_offset = batch * feature_row + rows.to(tl.int64) * feature_token
    closest = tl.full((ROWS,), float("inf"), tl.float32)
    for start in range(0, tokens, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        columns_inside = columns < tokens
        column_offset = batch * feature_row + columns.to(tl.int64) * feature_token
        cosines = cosine_tile(
            *(features, features, row_offset, column_offset, rows_inside, columns_inside, width),
            ROWS=ROWS,
            COLUMNS=COLUMNS,
            CHANNELS=CHANNELS,
        )
        far = 1.0 - tl.where(cosines == cosines, cosines, 0.0)
        own = rows[:, None] == columns[None, :]
        others = tl.where(own | (columns_inside[None, :] == 0), float("inf"), far)
        closest = tl.minimum(closest, tl.min(others, axis=1))
        places = (batch * tokens + rows.to(tl.int64)[:, None]) * tokens + columns[None, :]
        inside = rows_inside[:, None] & columns_inside[None, :]
        tl.store(distance + places, tl.where(own, float("-inf"), far), mask=inside)
    tl.store(nearest + batch * tokens + rows, closest, mask=rows_inside)


@triton.jit
def grow_subset(
    distance: tl.tensor,
    nearest: tl.tensor,
    index: tl.tensor,
    tokens: tl.tensor,
    count: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Choose `count` tokens of row `program_id(0)`, first the one whose nearest is farthest; write them in order."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < tokens
    table = distance + row * tokens * tokens
    alone = tl.load(nearest + row * tokens + columns, mask=inside, other=float("-inf"))
    chosen = first_largest(alone, columns)
    apart = tl.where(inside, float("inf"), float("-inf"))
    for _ in range(count):
        found = tl.load(table + chosen.to(tl.int64) * tokens + columns, mask=inside, other=float("-inf"))
        apart = tl.minimum(apart, found)
        chosen = first_largest(apart, columns)
    kept = inside & (apart == float("-inf"))  # the diagonal of each chosen token's row
    place = tl.cumsum(kept.to(tl.int32), axis=0) - 1
    tl.store(index + row * count + place, columns.to(tl.int64), mask=kept)


@on_own_device
def farthest_subset_triton(features: torch.Tensor, *, count: int) -> torch.Tensor:
    """`farthest_subset` on a GPU; at most LONGEST_ROW tokens."""
    batch, tokens, width = features.shape
    features = features if features.stride(-1) == 1 else features.contiguous()
    distance = torch.empty(batch, tokens, tokens, dtype=torch.float32, device=features.device)
    nearest = torch.empty(batch, tokens, dtype=torch.float32, device=features.device)
    index = torch.empty(batch, count, dtype=torch.int64, device=features.device)
    options = tuned("distance_rows", features.device, size=tokens)
    distance_rows[(triton.cdiv(tokens, options["ROWS"]), batch)](
        *(features, distance, nearest, tokens, width, *features.stride()[:2]),
        CHANNELS=channels_at_once(features),
        **options,
    )
    grow_subset[(batch,)](
        *(distance, nearest, index, tokens, count),
        BLOCK=triton.next_power_of_2(tokens),
        **tuned("grow_subset", features.device, size=tokens),
    )
    return index
