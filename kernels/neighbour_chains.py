"""Chains of neighbours: tokens of a sequence that join the one before them, the most alike first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import LONGEST_ROW, runs_on_gpu
from .top_k import top_k_torch

if TYPE_CHECKING:
    import torch


def neighbour_chains(features: torch.Tensor, *, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Join the N - K tokens that are most like the one before them to it, so that K chains remain.

    Likeness is the cosine (A-ToMe, arXiv:2306.16009, section 3, over the whole sequence); of equal ones the earlier
    tokens join. The first token joins none; a token whose cosine is NaN joins last.

    Args:
        features: (B, N, D) floating. count: K, from 1 to N.

    Returns:
        (B, K) int64, the first token of each chain, and (B, N) int64, the chain of every token. O(N D + N log N) time
        on the CPU; two launches on a GPU.

    Example:
        >>> import torch
        >>> tokens = torch.tensor([[[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 1.0]]])
        >>> [part.tolist() for part in neighbour_chains(tokens, count=2)]
        [[[0, 2]], [[0, 0, 1, 1]]]
    """
    if features.shape[1] <= LONGEST_ROW and runs_on_gpu(features):
        from .neighbour_chains_triton import neighbour_chains_triton

        return neighbour_chains_triton(features, count=count)
    return neighbour_chains_torch(features, count=count)


def neighbour_chains_torch(features: torch.Tensor, *, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`neighbour_chains` in torch."""
    import torch
    from torch.nn.functional import normalize

    unit = normalize(features.float(), dim=-1)
    likeness = (unit[:, 1:] * unit[:, :-1]).sum(dim=-1)
    begins = torch.ones_like(features[..., 0], dtype=torch.int64)
    begins = begins.scatter(1, top_k_torch(likeness, count=features.shape[1] - count) + 1, 0)
    return top_k_torch(begins.float(), count=count), begins.cumsum(dim=1) - 1
