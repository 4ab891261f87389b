"""Compaction of a key-value cache: every head of a layer keeps its own entries, or all heads the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import runs_on_gpu

if TYPE_CHECKING:
    import torch


def compact_cache(key: torch.Tensor, value: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The entries `index` of one layer's keys and values, bit for bit.

    Args:
        key: (B, G, N, D). value: (B, G, N, E), any dtype each.
        index: (B, G, K) int64 for a choice of each head, or (B, K) for one that all share.

    Returns:
        (B, G, K, D) and (B, G, K, E). O(B G K (D + E)) time; keys and values move in one launch on a GPU.

    Example:
        >>> import torch
        >>> entries = torch.arange(8.0).reshape(1, 2, 4, 1)
        >>> compact_cache(entries, entries, torch.tensor([[[0, 3], [1, 2]]]))[0].flatten().tolist()
        [0.0, 3.0, 5.0, 6.0]
    """
    if runs_on_gpu(key, value, index) and index.shape[-1]:
        from .cache_compaction_triton import compact_cache_triton

        return compact_cache_triton(key, value, index)
    return compact_cache_torch(key, value, index)


def compact_cache_torch(
    key: torch.Tensor, value: torch.Tensor, index: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """`compact_cache` in torch."""
    batch, heads = key.shape[:2]
    of_heads = (index if index.dim() == 3 else index[:, None]).expand(batch, heads, -1)[..., None]
    return (
        key.gather(2, of_heads.expand(-1, -1, -1, key.shape[-1])),
        value.gather(2, of_heads.expand(-1, -1, -1, value.shape[-1])),
    )
