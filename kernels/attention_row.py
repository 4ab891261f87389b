"""Thin attention rows: the softmax row of one query over all keys, averaged over the heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def attention_row(
    query: torch.Tensor, key: torch.Tensor, *, scale: float, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean over the heads of softmax(scale * q k^T + mask) for one query row, in float32.

    Grouped-query attention is read without repeating the keys: query head h uses key head h // (H / G).

    Args:
        query: (B, H, D) one query of each head. key: (B, G, N, D), H a multiple of G.
        scale: what the model multiplies the scores with, usually D**-0.5.
        mask: (B, 1 or H, N), bool (True may be attended to) or additive; None masks nothing.

    Returns:
        (B, N) float32; rows sum to 1. O(B H N D) time, O(B H N) memory, no N x N matrix.
    """
    batch, heads, width = query.shape
    groups, count = key.shape[1], key.shape[2]
    grouped = query.reshape(batch, groups, heads // groups, width)
    scores = (grouped @ key.mT).float().reshape(batch, heads, count) * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == _bool() else scores + mask.float()
    return scores.softmax(dim=-1).mean(dim=1)


def _bool() -> torch.dtype:
    import torch

    return torch.bool
