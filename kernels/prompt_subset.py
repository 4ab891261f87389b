"""A diverse subset that answers to a prompt: similarities weighted by relevance, then a greedy determinant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import LONGEST_ROW, runs_on_gpu
from .dpp import dpp_greedy_torch

if TYPE_CHECKING:
    import torch

SMALLEST_RANGE = 1e-6
"""Relevance is scaled by no less than this, which is also added to it (CDPruner's public code)."""


def prompt_subset(features: torch.Tensor, text: torch.Tensor, *, count: int, negated: bool = False) -> torch.Tensor:
    """The greedy MAP subset of the determinantal process r_i r_j cos(i, j) (CDPruner, arXiv:2506.10967, section 3).

    The relevance r of a token is its mean cosine with the text, or with `negated` the negative of that, scaled to lie
    between 0 and 1 in each row. See `dpp_greedy` for ties and for what is chosen when nothing is left.

    Args:
        features: (B, N, D) floating. text: (B, T, D) floating; tokens that are 0 do not count.
        count: K, from 1 to N.

    Returns:
        (B, K) int64, sorted. O(N^2 D + N K^2) time; four launches on a GPU, with all similarities in memory once.
    """
    if features.shape[1] <= LONGEST_ROW and runs_on_gpu(features, text):
        from .prompt_subset_triton import prompt_subset_triton

        return prompt_subset_triton(features, text, count=count, negated=negated)
    return prompt_subset_torch(features, text, count=count, negated=negated)


def prompt_subset_torch(
    features: torch.Tensor, text: torch.Tensor, *, count: int, negated: bool = False
) -> torch.Tensor:
    """`prompt_subset` in torch."""
    from torch.nn.functional import normalize

    texts = (text != 0).any(dim=-1).sum(dim=1).clamp(min=1)
    mean = normalize(text.float(), dim=-1).sum(dim=1) / texts[:, None]
    unit = normalize(features.float(), dim=-1)
    cosine = (unit @ mean[..., None])[..., 0]
    cosine = -cosine if negated else cosine
    low, high = cosine.amin(dim=1, keepdim=True), cosine.amax(dim=1, keepdim=True)
    weighted = unit * ((cosine - low + SMALLEST_RANGE) / (high - low).clamp(min=SMALLEST_RANGE))[..., None]
    return dpp_greedy_torch(weighted @ weighted.mT, count).sort(dim=-1).values
