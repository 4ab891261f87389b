"""Merging neighbours in a sequence: how alike they are, and the chains that form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .frames import ranks, run_starts
from .merge import places
from .select import top_k

if TYPE_CHECKING:
    import torch


def neighbour_cosines(values: torch.Tensor) -> torch.Tensor:
    """(B, N) float32: the cosine of each of (B, N, D) with the one before it, -inf for the first. O(N D) time."""
    import torch
    from torch.nn.functional import normalize

    unit = normalize(values.float(), dim=-1)
    similar = torch.full_like(unit[..., 0], float("-inf"))
    similar[:, 1:] = (unit[:, 1:] * unit[:, :-1]).sum(dim=-1)
    return similar


def chained(similar: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Join the most similar neighbours until `count` chains remain.

    Args:
        similar: (B, N), how alike each token and the one before it are.

    Returns:
        The first token of each chain (B, count), and the chain of every token (B, N), both int64. O(N log N) time.
    """
    total = similar.shape[1]
    joins = ranks(similar) < total - count
    index = top_k((~joins).float(), count)
    return index, places(index, total).gather(1, run_starts(joins))
