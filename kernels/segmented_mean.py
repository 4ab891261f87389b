"""Segmented mean: the weighted mean of the tokens of each group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import runs_on_gpu

if TYPE_CHECKING:
    import torch


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
