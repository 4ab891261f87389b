"""Top-k: the positions of the highest scores of each row, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import LONGEST_ROW, runs_on_gpu

if TYPE_CHECKING:
    import torch


def top_k(scores: torch.Tensor, *, count: int) -> torch.Tensor:
    """Positions of the `count` highest scores of each row, sorted by position.

    NaN counts as -inf; among equal scores the earlier token is kept, on every device.

    Args:
        scores: (..., N), floating.
        count: K, from 0 to N.

    Returns:
        (..., K) int64. O(N log N) time on the CPU; one launch and 33 reductions of a row on a GPU, no sort.

    Example:
        >>> import torch
        >>> top_k(torch.tensor([[0.1, 0.9, float("nan"), 0.9]]), count=2).tolist()
        [[1, 3]]
    """
    if scores.is_floating_point() and scores.shape[-1] <= LONGEST_ROW and count and runs_on_gpu(scores):
        from .top_k_triton import top_k_triton

        return top_k_triton(scores, count=count)
    return top_k_torch(scores, count=count)


def top_k_torch(scores: torch.Tensor, *, count: int) -> torch.Tensor:
    """`top_k` in torch: a stable sort."""
    ranked = scores.nan_to_num(nan=float("-inf"), posinf=float("inf"), neginf=float("-inf"))
    return ranked.argsort(dim=-1, descending=True, stable=True)[..., :count].sort(dim=-1).values
