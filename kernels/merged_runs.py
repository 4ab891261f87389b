"""Merging over time: tokens that changed least join their place in the frame before, then the best of the rest stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import LONGEST_ROW, runs_on_gpu
from .top_k import top_k_torch

if TYPE_CHECKING:
    import torch


def merged_runs(
    change: torch.Tensor, scores: torch.Tensor, *, count: int, frames: int, threshold: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Join what changed least to its chain, then keep the K highest scores (FrameFusion, arXiv:2501.01986, section 3).

    Of the N - K tokens that changed least, those whose cosine with the frame before is at least `threshold` join it;
    chains of them end in their first token. Of all others the K best stay. Of equals the earlier comes first; NaN
    counts as the greatest change and as the lowest score.

    Args:
        change: (B, N) floating, the negated cosine of each token with its place in the frame before; that of the first
            frame is not looked at. scores: (B, N) floating.
        count: K, from 1 to N. frames: N / frames tokens are in each.

    Returns:
        (B, K) int64, the tokens that stay, sorted; (B, N) int64, the place among them where the chain of each token
        ends, -1 where that does not stay. O(N log N) time; one launch on a GPU.

    Example:
        >>> import torch
        >>> change, scores = torch.tensor([[0.0, 0.0, -0.9, 0.1]]), torch.tensor([[0.1, 0.2, 0.9, 0.3]])
        >>> [part.tolist() for part in merged_runs(change, scores, count=2, frames=2, threshold=0.8)]
        [[[1, 3]], [[-1, 0, -1, 1]]]
    """
    if change.shape[1] <= LONGEST_ROW and runs_on_gpu(change, scores):
        from .merged_runs_triton import merged_runs_triton

        return merged_runs_triton(change, scores, count=count, frames=frames, threshold=threshold)
    return merged_runs_torch(change, scores, count=count, frames=frames, threshold=threshold)


def merged_runs_torch(
    change: torch.Tensor, scores: torch.Tensor, *, count: int, frames: int, threshold: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """`merged_runs` in torch: two rankings, then a running maximum over the frames."""
    import torch

    tokens = change.shape[1]
    own = torch.arange(tokens, device=change.device)
    likeness = (-change).masked_fill(own < tokens // frames, float("-inf"))
    least = torch.zeros_like(change, dtype=torch.bool).scatter(1, top_k_torch(likeness, count=tokens - count), True)
    joins = least & (likeness >= threshold)
    index = top_k_torch(scores.masked_fill(joins, float("-inf")), count=count)
    place = torch.full_like(own, -1).repeat(len(index), 1)
    place = place.scatter(1, index, torch.arange(count, device=index.device).expand_as(index))
    first = own.masked_fill(joins, 0).view(len(index), frames, -1).cummax(dim=1).values.flatten(1)
    return index, place.gather(1, first)
