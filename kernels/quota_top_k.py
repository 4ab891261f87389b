"""Top-k by quotas: of each frame its highest scores, as many as the frame is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import LONGEST_ROW, runs_on_gpu

if TYPE_CHECKING:
    import torch


def quota_top_k(
    scores: torch.Tensor, quotas: torch.Tensor, starts: torch.Tensor, *, count: int, frames: int
) -> torch.Tensor:
    """Positions of the highest scores of each frame, frame after frame, sorted by position.

    NaN counts as -inf; among equal scores the earlier token is kept.

    Args:
        scores: (B, N) floating, `frames` frames of N / frames tokens each.
        quotas: (frames,) int64, how many of each frame stay, at most N / frames. starts: (frames,) int64, the sum of
            the quotas before. count: K, the sum of all quotas.

    Returns:
        (B, K) int64. O(N log N) time on the CPU; one launch on a GPU, a program for each frame.

    Example:
        >>> import torch
        >>> quotas, starts = torch.tensor([1, 2]), torch.tensor([0, 1])
        >>> quota_top_k(torch.tensor([[0.1, 0.9, 0.5, 0.4]]), quotas, starts, count=3, frames=2).tolist()
        [[1, 2, 3]]
    """
    if scores.shape[1] // frames <= LONGEST_ROW and count and runs_on_gpu(scores, quotas, starts):
        from .quota_top_k_triton import quota_top_k_triton

        return quota_top_k_triton(scores, quotas, starts, count=count, frames=frames)
    return quota_top_k_torch(scores, quotas, starts, count=count, frames=frames)


def quota_top_k_torch(
    scores: torch.Tensor, quotas: torch.Tensor, starts: torch.Tensor, *, count: int, frames: int
) -> torch.Tensor:
    """`quota_top_k` in torch: a stable sort in each frame, then one of what was taken."""
    lowest = scores.nan_to_num(nan=float("-inf"), posinf=float("inf"), neginf=float("-inf"))
    by_frame = lowest.reshape(len(scores), frames, -1)
    rank = by_frame.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
    taken = (rank < quotas[:, None]).flatten(1)
    index: torch.Tensor = taken.byte().argsort(dim=-1, descending=True, stable=True)[:, :count]
    return index
