"""Selectors: from scores or features to the sorted indices of the tokens that are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def top_k(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Indices of the `count` highest scores of each row, sorted by position.

    NaN counts as -inf; among equal scores the earlier token is kept, on every device.

    Args:
        scores: (B, N) floating.
        count: K, from 0 to N.

    Returns:
        (B, K) int64. O(N log N) time.
    """
    lowest = scores.nan_to_num(nan=float("-inf"), posinf=float("inf"), neginf=float("-inf"))
    order = lowest.argsort(dim=-1, descending=True, stable=True)
    return order[..., :count].sort(dim=-1).values


def evenly_spaced(total: int, count: int) -> list[int]:
    """`count` positions spread evenly over `total`, each at the centre of its share.

    Example:
        >>> evenly_spaced(8, 4)
        [1, 3, 5, 7]
        >>> evenly_spaced(5, 5)
        [0, 1, 2, 3, 4]
    """
    return [((2 * i + 1) * total) // (2 * count) for i in range(count)]
