"""A diverse subset for a prompt in four launches: the mean text, cosines with it, weighted similarities, the choice."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .dpp_triton import dpp_greedy_triton
from .prompt_subset import SMALLEST_RANGE
from .similarity_triton import SMALLEST_NORM, channels_at_once, cosine_tile
from .tuning import tuned


@triton.jit
def average_texts(
    text: tl.tensor,
    mean: tl.tensor,
    texts: tl.tensor,
    width: tl.tensor,
    text_row: tl.tensor,
    text_token: tl.tensor,
    TOKENS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write channels [CHANNELS * program_id(0), ...) of the mean of the unit texts of row `program_id(1)`."""
    row = tl.program_id(1).to(tl.int64)
    mine = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    summed = tl.zeros((CHANNELS,), tl.float32)
    present = 0
    for first in range(0, texts, TOKENS):
        tokens = first + tl.arange(0, TOKENS)
        inside = (tokens < texts)[:, None]
        place = text + row * text_row + tokens.to(tl.int64)[:, None] * text_token
        square = tl.zeros((TOKENS,), tl.float32)
        for start in range(0, width, CHANNELS):
            channels = (start + tl.arange(0, CHANNELS))[None, :]
            found = tl.load(place + channels, mask=inside & (channels < width), other=0.0).to(tl.float32)
            square += tl.sum(found * found, axis=1)
        norm = tl.maximum(tl.sqrt(square), SMALLEST_NORM)
        own = tl.load(place + mine[None, :], mask=inside & (mine < width)[None, :], other=0.0).to(tl.float32)
        summed += tl.sum(own / norm[:, None], axis=0)
        present += tl.sum((square > 0.0).to(tl.int32), axis=0)
    tl.store(mean + row * width + mine, summed / tl.maximum(present, 1), mask=mine < width)


@triton.jit
def cosines_with_mean(
    features: tl.tensor,
    mean: tl.tensor,
    cosines: tl.tensor,
    tokens: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_token: tl.tensor,
    NEGATED: tl.constexpr,
    TOKENS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write the mean cosine with the texts of tokens [TOKENS * program_id(0), ...) of row `program_id(1)`."""
    row = tl.program_id(1).to(tl.int64)
    mine = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    place = features + row * feature_row + mine.to(tl.int64)[:, None] * feature_token
    product = tl.zeros((TOKENS,), tl.float32)
    square = tl.zeros((TOKENS,), tl.float32)
    for start in range(0, width, CHANNELS):
        channels = start + tl.arange(0, CHANNELS)
        some = (mine < tokens)[:, None] & (channels < width)[None, :]
        found = tl.load(place + channels[None, :], mask=some, other=0.0).to(tl.float32)
        goal = tl.load(mean + row * width + channels, mask=channels < width, other=0.0)
        product += tl.sum(found * goal[None, :], axis=1)
        square += tl.sum(found * found, axis=1)
    cosine = product / tl.maximum(tl.sqrt(square), SMALLEST_NORM)
    tl.store(cosines + row * tokens + mine, -cosine if NEGATED else cosine, mask=mine < tokens)


@triton.jit
def relevance_of(cosine: tl.tensor, low: tl.tensor, high: tl.tensor, smallest: tl.tensor) -> tl.tensor:
    """The cosine scaled to lie between 0 and 1."""
    return (cosine - low + smallest) / tl.maximum(high - low, smallest)


@triton.jit
def weighted_rows(
    features: tl.tensor,
    cosines: tl.tensor,
    table: tl.tensor,
    tokens: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_token: tl.tensor,
    smallest: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write the similarities of tokens [ROWS * program_id(0), ...) with all of batch row `program_id(1)`."""
    batch = tl.program_id(1).to(tl.int64)
    every = tl.arange(0, BLOCK)
    low = tl.min(tl.load(cosines + batch * tokens + every, mask=every < tokens, other=float("inf")), axis=0)
    high = tl.max(tl.load(cosines + batch * tokens + every, mask=every < tokens, other=float("-inf")), axis=0)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    rows_inside = rows < tokens
    row_offset = batch * feature_row + rows.to(tl.int64) * feature_token
    mine = relevance_of(tl.load(cosines + batch * tokens + rows, mask=rows_inside, other=0.0), low, high, smallest)
    for start in range(0, tokens, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        inside = columns < tokens
        found = cosine_tile(
            *(features, features, row_offset, batch * feature_row + columns.to(tl.int64) * feature_token),
            *(rows_inside, inside, width),
            ROWS=ROWS,
            COLUMNS=COLUMNS,
            CHANNELS=CHANNELS,
        )
        others = relevance_of(tl.load(cosines + batch * tokens + columns, mask=inside, other=0.0), low, high, smallest)
        places = (batch * tokens + rows[:, None]) * tokens + columns[None, :]
        weighted = found * mine[:, None] * others[None, :]
        tl.store(table + places, weighted, mask=rows_inside[:, None] & inside[None, :])


@on_own_device
def prompt_subset_triton(
    features: torch.Tensor, text: torch.Tensor, *, count: int, negated: bool = False
) -> torch.Tensor:
    """`prompt_subset` on a GPU; at most LONGEST_ROW tokens."""
    batch, tokens, width = features.shape
    features, text = (part if part.stride(-1) == 1 else part.contiguous() for part in (features, text))
    mean = torch.empty(batch, width, dtype=torch.float32, device=features.device)
    cosines = torch.empty(batch, tokens, dtype=torch.float32, device=features.device)
    table = torch.empty(batch, tokens, tokens, dtype=torch.float32, device=features.device)
    tile = tuned("average_texts", features.device, size=text.shape[1])
    average_texts[(triton.cdiv(width, tile["CHANNELS"]), batch)](
        *(text, mean, text.shape[1], width, *text.stride()[:2]), **tile
    )
    tile = tuned("cosines_with_mean", features.device, size=tokens)
    cosines_with_mean[(triton.cdiv(tokens, tile["TOKENS"]), batch)](
        *(features, mean, cosines, tokens, width, *features.stride()[:2]), NEGATED=negated, **tile
    )
    tile = tuned("weighted_rows", features.device, size=tokens)
    weighted_rows[(triton.cdiv(tokens, tile["ROWS"]), batch)](
        *(features, cosines, table, tokens, width, *features.stride()[:2], SMALLEST_RANGE),
        CHANNELS=channels_at_once(features),
        BLOCK=triton.next_power_of_2(tokens),
        **tile,
    )
    return dpp_greedy_triton(table, count, in_order=True)
