"""Joining anchors in one launch: tiles of cosines with the anchors where they stand, their best followed at once."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .best_match_triton import most_similar
from .dispatch import on_own_device
from .similarity_triton import channels_at_once
from .tuning import tuned


@triton.jit
def join_tiles(
    features: tl.tensor,
    anchors: tl.tensor,
    place: tl.tensor,
    joined: tl.tensor,
    tokens: tl.tensor,
    anchor_count: tl.tensor,
    width: tl.tensor,
    feature_row: tl.tensor,
    feature_token: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Write where tokens [ROWS * program_id(0), ...) of row `program_id(1)` go."""
    batch = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = rows < tokens
    own = tl.load(place + batch * tokens + rows, mask=inside, other=0)
    nearest = most_similar(
        *(features + batch * feature_row, features + batch * feature_row, anchors + batch * anchor_count),
        *(rows, tokens, anchor_count, width, feature_token, feature_token),
        LISTED=True,
        ROWS=ROWS,
        COLUMNS=COLUMNS,
        CHANNELS=CHANNELS,
    )[1]
    anchor = tl.load(anchors + batch * anchor_count + nearest, mask=inside, other=0)
    at_anchor = tl.load(place + batch * tokens + anchor, mask=inside, other=0)
    tl.store(joined + batch * tokens + rows, tl.where(own >= 0, own, at_anchor), mask=inside)


@on_own_device
def join_anchors_triton(features: torch.Tensor, anchors: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """`join_anchors` on a GPU."""
    batch, tokens, width = features.shape
    features = features if features.stride(-1) == 1 else features.contiguous()
    joined = torch.empty(batch, tokens, dtype=torch.int64, device=features.device)
    options = tuned("join_tiles", features.device, size=tokens)
    join_tiles[(triton.cdiv(tokens, options["ROWS"]), batch)](
        *(features, anchors.contiguous(), place.contiguous(), joined, tokens, anchors.shape[1], width),
        *features.stride()[:2],
        CHANNELS=channels_at_once(features),
        **options,
    )
    return joined
