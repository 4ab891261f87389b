"""Nearest-anchor merging: every token joins its most similar anchor, and each group becomes its weighted mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .best_match import best_match
from .dispatch import runs_on_gpu

if TYPE_CHECKING:
    import torch


def nearest_anchor(features: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The anchor that every token joins: the one of the highest cosine, itself where the token is an anchor.

    Among equal cosines the earlier anchor is taken; a token with NaN joins anchor 0.

    Args:
        features: (B, N, D) floating.
        index: (B, K) int64 without repeats, the tokens that are anchors.

    Returns:
        (B, N) int64 position in `index`. O(N K D) time, never N x K in memory on a GPU.

    Example:
        >>> import torch
        >>> tokens = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.2, 0.8]]])
        >>> nearest_anchor(tokens, torch.tensor([[0, 1]])).tolist()
        [[0, 1, 0, 1]]
    """
    import torch

    anchors = features.gather(1, index[..., None].expand(-1, -1, features.shape[-1]))
    own = torch.arange(index.shape[1], device=index.device).expand_as(index)
    return best_match(features, anchors)[1].scatter(1, index, own)


def segmented_mean(
    features: torch.Tensor, assign: torch.Tensor, *, groups: int, weight: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The weighted mean of the tokens of each group, and the weight that it stands for.

    Sums are in float32. A group without weight is zero; NaN in a member makes its channel of the group NaN.

    Args:
        features: (B, N, D) floating.
        assign: (B, N) int64 group of each token, -1 where it takes no part.
        groups: K.
        weight: (B, N) floating, not negative, such as the sizes of tokens that were merged before; None is 1 each.

    Returns:
        (B, K, D) in the dtype of `features` and (B, K) float32. O(N D) time, and O(N K) more to look for the members
        on a GPU (one launch; no atomics, so the same sums every time).
    """
    if runs_on_gpu(features, assign, weight):
        from .segmented_mean_triton import segmented_mean_triton

        return segmented_mean_triton(features, assign, groups=groups, weight=weight)
    return segmented_mean_torch(features, assign, groups=groups, weight=weight)


def segmented_mean_torch(
    features: torch.Tensor, assign: torch.Tensor, *, groups: int, weight: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """`segmented_mean` in torch, by scattered sums."""
    import torch

    batch, _, width = features.shape
    # What takes no part goes to one group more, whatever it holds.
    target = assign.where(assign >= 0, groups)
    share = torch.ones_like(target, dtype=torch.float32) if weight is None else weight.float()
    total = share.new_zeros(batch, groups + 1).scatter_add(1, target, share)[:, :groups]
    summed = share.new_zeros(batch, groups + 1, width).scatter_add(
        1, target[..., None].expand(-1, -1, width), features.float() * share[..., None]
    )[:, :groups]
    empty = (total == 0)[..., None]
    return (summed / total[..., None].masked_fill(empty, 1.0)).masked_fill(empty, 0.0).to(features.dtype), total
