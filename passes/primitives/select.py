"""Selectors: from scores or features to the sorted indices of the tokens that are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...kernels.top_k import top_k as kernel

if TYPE_CHECKING:
    import torch


def ranked(scores: torch.Tensor) -> torch.Tensor:
    """Indices of each row from the highest score to the lowest, (B, N) int64; equal scores by position, NaN last."""
    lowest = scores.nan_to_num(nan=float("-inf"), posinf=float("inf"), neginf=float("-inf"))
    return lowest.argsort(dim=-1, descending=True, stable=True)


def top_k(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Indices of the `count` highest scores of each row, sorted by position.

    NaN counts as -inf; among equal scores the earlier token is kept, on every device.

    Args:
        scores: (B, N) floating.
        count: K, from 0 to N.

    Returns:
        (B, K) int64. O(N log N) time; one launch on a GPU.
    """
    return kernel(scores, count=count)


def complement(index: torch.Tensor, total: int) -> torch.Tensor:
    """The positions below `total` that `index` (B, K) leaves out, sorted, (B, total - K) int64."""
    import torch

    taken = torch.zeros(index.shape[0], total, dtype=torch.uint8, device=index.device).scatter(1, index, 1)
    return taken.argsort(dim=-1, stable=True)[:, : total - index.shape[1]]


def evenly_spaced(total: int, count: int) -> list[int]:
    """`count` positions spread evenly over `total`, each at the centre of its share.

    Example:
        >>> evenly_spaced(8, 4)
        [1, 3, 5, 7]
        >>> evenly_spaced(5, 5)
        [0, 1, 2, 3, 4]
    """
    return [((2 * i + 1) * total) // (2 * count) for i in range(count)]
