"""Pivot dissimilarity: pivots in turn take the tokens that are least like them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import LONGEST_ROW, runs_on_gpu

if TYPE_CHECKING:
    import torch

MOST_PIVOTS = 64
"""Pivots whose cosines with a tile of tokens one Triton program can hold; with more the torch way is taken."""


def least_similar(
    features: torch.Tensor, pivots: torch.Tensor, *, count: int, taken: torch.Tensor | None = None, kept: int = 0
) -> torch.Tensor:
    """Let every pivot in turn take its share of `count` tokens: those not yet taken whose cosine to it is lowest.

    Shares are equal, with one more for the first pivots where `count` does not divide (DART, arXiv:2502.11494,
    section 4). Among equal cosines the earlier token is taken; a token whose cosine is NaN is taken last.

    Args:
        features: (B, N, D) floating. pivots: (B, P, D) of the same dtype, tokens of the row or others.
        count: K, at most the number of tokens that are free.
        taken: (B, N) bool, tokens that may not be taken, such as pivots that are kept anyway; None is none.
        kept: how many of a row `taken` has, where these are to be among the result; else 0.

    Returns:
        (B, K + kept) int64, sorted by position. O(P N D + P N log N) time, O(P N) memory: only P rows of cosines, never
        N x N; two launches on a GPU, of at most MOST_PIVOTS pivots.

    Example:
        >>> import torch
        >>> tokens = torch.tensor([[[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [-1.0, 0.0]]])
        >>> least_similar(tokens, tokens[:, :1], count=2).tolist()
        [[2, 3]]
    """
    fits = features.shape[1] <= LONGEST_ROW and pivots.shape[1] <= MOST_PIVOTS and features.dtype == pivots.dtype
    if fits and count and runs_on_gpu(features, pivots, taken):
        from .pivot_triton import least_similar_triton

        return least_similar_triton(features, pivots, count=count, taken=taken, kept=kept)
    return least_similar_torch(features, pivots, count=count, taken=taken, kept=kept)


def least_similar_torch(
    features: torch.Tensor, pivots: torch.Tensor, *, count: int, taken: torch.Tensor | None = None, kept: int = 0
) -> torch.Tensor:
    """`least_similar` in torch: one stable sort for each pivot."""
    import torch
    from torch.nn.functional import normalize

    cosines = pivots.float() @ normalize(features.float(), dim=-1).mT
    cosines = cosines / pivots.float().norm(dim=-1, keepdim=True).clamp(min=1e-12)
    # NaN comes after every cosine and before what is taken.
    cosines = cosines.masked_fill(cosines.isnan(), 2.0)
    gone = torch.zeros_like(features[..., 0], dtype=torch.bool) if taken is None else taken.clone()
    free = gone.clone()
    share, more = divmod(count, pivots.shape[1])
    for pivot in range(pivots.shape[1]):
        order = cosines[:, pivot].masked_fill(gone, 3.0).argsort(dim=-1, stable=True)
        gone.scatter_(1, order[:, : share + (pivot < more)], True)
    chosen = gone if kept else gone ^ free
    return chosen.byte().argsort(dim=-1, descending=True, stable=True)[:, : count + kept]
