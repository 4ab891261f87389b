"""Which cache entries stay: the best scored ones beside a first and a last stretch that always stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .select import top_k

if TYPE_CHECKING:
    import torch


def stretches(like: torch.Tensor, count: int, *, first: int) -> torch.Tensor:
    """The first `first` of N entries and the last ones, `count` in all, for the heads of `like` (R, G, N, ...).

    Returns:
        (R, G, count) int64.

    Example:
        >>> import torch
        >>> stretches(torch.zeros(1, 1, 6), 4, first=1).tolist()
        [[[0, 3, 4, 5]]]
    """
    import torch

    rows, heads, total = like.shape[:3]
    begin = torch.arange(min(first, count), device=like.device)
    end = torch.arange(total - (count - len(begin)), total, device=like.device)
    return torch.cat([begin, end]).expand(rows, heads, -1)


def best_and_last(scores: torch.Tensor, count: int, *, last: int) -> torch.Tensor:
    """The last `last` of N entries and the best scored ones before them, `count` in all.

    Args:
        scores: (R, G, N) floating. count: K. last: how many of the latest always stay; at most K do.

    Returns:
        (R, G, K) int64, sorted. O(N log N) time.
    """
    import torch

    last = min(last, count)
    total = scores.shape[2]
    best = top_k(scores[..., : total - last], count - last)
    latest = torch.arange(total - last, total, device=scores.device).expand(*scores.shape[:2], -1)
    return torch.cat([best, latest], dim=-1)
