"""What each layer sees: attention masks in the geometry of the uncompressed sequence, gathered for what remains.

Sliding and chunked windows count original positions. So a decoder with windows never builds its own masks under a
plan: they are built here as if nothing had been dropped, and the rows and columns that remain are gathered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..common.errors import BadInput
from .index_maps import gather_mask
from .ledger import Level
from .masks import index_mask, with_validity


def logical_masks(config: Any, embeddings: torch.Tensor, padding: Any, cache: Any) -> Any:
    """The masks that the decoder would build over the uncompressed sequence: one tensor or None, or one by layer type.

    Args:
        config: the decoder's configuration.
        embeddings: (B, L, D) of the call as its caller gave it; only shape, dtype and device are read.
        padding: the caller's 2-d mask over the whole logical sequence, or None.
        cache: reports logical lengths, as it does outside the decoder.

    Raises:
        BadInput: the attention implementation takes no 4-d mask.
    """
    from transformers.masking_utils import create_masks_for_generate

    if "flash" in str(config._attn_implementation):
        raise BadInput(
            "masks under flash attention cannot follow dropped tokens here; load the model with sdpa or eager"
        )
    return create_masks_for_generate(
        config=config, inputs_embeds=embeddings, attention_mask=padding, past_key_values=cache
    )


@dataclass(frozen=True)
class View:
    """What one layer's keys are: `columns` (B, K) int64 in the logical sequence, `valid` and `sizes` as in `Level`."""

    columns: torch.Tensor
    valid: torch.Tensor | None
    sizes: torch.Tensor | None = None


def view(level: Level, new: int, cache_layer: Any) -> View:
    """The keys of a layer in a call that adds `new` tokens to `level`.

    A sliding cache layer gives the last window - 1 past tokens that it holds, and the new ones; a static one gives its
    whole capacity, of which the rest is closed, and where it slides no more than capacity - 1 past tokens.
    """
    columns, valid, sizes = level.index, level.valid, level.sizes
    capacity = static_capacity(cache_layer)
    if getattr(cache_layer, "is_sliding", False):
        window = int(cache_layer.sliding_window) if capacity is None else capacity
        held = min(level.length - new, window - 1) + new
        columns, valid = columns[:, -held:], None if valid is None else valid[:, -held:]
        sizes = None if sizes is None else sizes[:, -held:]
    if capacity is not None and columns.shape[1] < capacity:
        free = capacity - columns.shape[1]
        valid = torch.ones_like(columns, dtype=torch.bool) if valid is None else valid
        columns = torch.nn.functional.pad(columns, (0, free))
        valid = torch.nn.functional.pad(valid, (0, free))
        sizes = None if sizes is None else torch.nn.functional.pad(sizes, (0, free), value=1.0)
    return View(columns, valid, sizes)


def static_capacity(cache_layer: Any) -> int | None:
    """Tokens that a static cache layer has room for, None for one that grows."""
    room = getattr(cache_layer, "max_cache_len", None)
    return None if room is None else int(room)


def gathered(
    mask: torch.Tensor | None,
    seen: View,
    *,
    queries: torch.Tensor,
    rows: torch.Tensor | None,
    dtype: torch.dtype | None,
) -> torch.Tensor | None:
    """A mask of the uncompressed sequence for the queries and keys that remain.

    Args:
        mask: 2-d, 4-d or None (plain causal).
        queries: (B, Q) int64 places of the queries in the logical sequence.
        rows: (B, Q) int64 rows of `mask` that remain, None where all do.
        dtype: floating dtype of an additive mask where one must be made from nothing, None for a boolean one.
    """
    if mask is None and seen.valid is not None:
        return index_mask(queries, seen.columns, seen.valid, dtype=dtype)
    return with_validity(gather_mask(mask, seen.columns, rows), seen.valid)
