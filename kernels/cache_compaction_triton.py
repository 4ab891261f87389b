"""Cache compaction in one launch: each program moves a few entries of one head, keys and values together."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .tuning import tuned


@triton.jit
def gather_entries(
    key: tl.tensor,
    value: tl.tensor,
    index: tl.tensor,
    key_out: tl.tensor,
    value_out: tl.tensor,
    heads: tl.tensor,
    count: tl.tensor,
    key_width: tl.tensor,
    value_width: tl.tensor,
    key_batch: tl.tensor,
    key_head: tl.tensor,
    key_token: tl.tensor,
    value_batch: tl.tensor,
    value_head: tl.tensor,
    value_token: tl.tensor,
    index_batch: tl.tensor,
    index_head: tl.tensor,
    index_place: tl.tensor,
    ENTRIES: tl.constexpr,
    KEY_CHANNELS: tl.constexpr,
    VALUE_CHANNELS: tl.constexpr,
) -> None:
    """Copy entries [ENTRIES * program_id(0), ...) of batch row and head `program_id(1)`."""
    pair = tl.program_id(1).to(tl.int64)
    batch, head = pair // heads, pair % heads
    entries = tl.program_id(0) * ENTRIES + tl.arange(0, ENTRIES)
    inside = (entries < count)[:, None]
    tokens = tl.load(index + batch * index_batch + head * index_head + entries * index_place, mask=entries < count)
    channels = tl.arange(0, KEY_CHANNELS)[None, :]
    some = inside & (channels < key_width)
    moved = tl.load(key + batch * key_batch + head * key_head + tokens[:, None] * key_token + channels, mask=some)
    tl.store(key_out + (pair * count + entries[:, None]) * key_width + channels, moved, mask=some)
    channels = tl.arange(0, VALUE_CHANNELS)[None, :]
    some = inside & (channels < value_width)
    moved = tl.load(
        value + batch * value_batch + head * value_head + tokens[:, None] * value_token + channels, mask=some
    )
    tl.store(value_out + (pair * count + entries[:, None]) * value_width + channels, moved, mask=some)


@on_own_device
def compact_cache_triton(
    key: torch.Tensor, value: torch.Tensor, index: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """`compact_cache` on a GPU."""
    batch, heads, _, _ = key.shape
    count = index.shape[-1]
    key, value = (part if part.stride(-1) == 1 else part.contiguous() for part in (key, value))
    of_heads = (index if index.dim() == 3 else index[:, None]).expand(batch, heads, count)
    key_out = key.new_empty(batch, heads, count, key.shape[-1])
    value_out = value.new_empty(batch, heads, count, value.shape[-1])
    options = tuned("gather_entries", key.device, size=count)
    gather_entries[(triton.cdiv(count, options["ENTRIES"]), batch * heads)](
        *(key, value, of_heads, key_out, value_out, heads, count, key.shape[-1], value.shape[-1]),
        *(*key.stride()[:3], *value.stride()[:3], *of_heads.stride()),
        KEY_CHANNELS=triton.next_power_of_2(key.shape[-1]),
        VALUE_CHANNELS=triton.next_power_of_2(value.shape[-1]),
        **options,
    )
    return key_out, value_out
