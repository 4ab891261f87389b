"""The max-min subset from features alone: the tokens that `max_min` chooses, in order of position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import LONGEST_ROW, runs_on_gpu
from .max_min import cosine_distances, farthest_first_torch, max_min

if TYPE_CHECKING:
    import torch


def farthest_subset(features: torch.Tensor, *, count: int) -> torch.Tensor:
    """The greedy max-min subset under cosine distance (DivPrune, arXiv:2503.02175, algorithm 1), sorted.

    The choice, its ties and its rule for NaN are those of `max_min`.

    Args:
        features: (B, N, D) floating. count: K, from 1 to N.

    Returns:
        (B, K) int64. O(N^2 D + N K) time, N^2 memory; two launches on a GPU, whatever K is.

    Example:
        >>> import torch
        >>> farthest_subset(torch.tensor([[[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [-1.0, 0.1]]]), count=2).tolist()
        [[0, 3]]
    """
    if features.shape[1] <= LONGEST_ROW and runs_on_gpu(features):
        from .farthest_subset_triton import farthest_subset_triton

        return farthest_subset_triton(features, count=count)
    return max_min(features, count).sort(dim=-1).values


def farthest_subset_torch(features: torch.Tensor, *, count: int) -> torch.Tensor:
    """`farthest_subset` as tensor operations, without a host synchronisation."""
    distance = cosine_distances(features)
    diagonal = distance.diagonal(dim1=-2, dim2=-1)
    diagonal.fill_(float("inf"))
    start = distance.amin(-1).argmax(-1)
    diagonal.fill_(float("-inf"))
    return farthest_first_torch(distance, start, count=count).sort(dim=-1).values
