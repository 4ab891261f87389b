"""Carrying out a compression on features: gather what is kept, or average what is merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ..base import Compression


def merged(features: torch.Tensor, compression: Compression) -> torch.Tensor:
    """The (B, K, D) features that go on, in the dtype of `features`.

    Without `assign` the kept rows are gathered. With it each group becomes its weighted mean, accumulated in float32;
    tokens assigned to -1 take no part. A compression that brings its own `combine` gives that.
    """
    if compression.combine is not None:
        return compression.combine(features)
    if compression.assign is None:
        return gather(features, compression.index)
    sums, totals = group_sums(features, compression.assign, compression.index.shape[1], weight=compression.weight)
    return (sums / totals[..., None]).to(features.dtype)


def gather(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Rows `index` (B, K) of `values` (B, N, ...), as (B, K, ...)."""
    return values.gather(
        1, index.reshape(*index.shape, *[1] * (values.ndim - 2)).expand(*index.shape, *values.shape[2:])
    )


def group_sums(
    features: torch.Tensor, assign: torch.Tensor, groups: int, *, weight: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted sum of the members of each group, and their total weight.

    Args:
        features: (B, N, D) floating. assign: (B, N) int64 group of each token, -1 for none.
        groups: K. weight: (B, N); None is equal weights of 1.

    Returns:
        (B, K, D) and (B, K), both float32. O(N D) time.
    """
    import torch

    share = torch.ones_like(assign, dtype=torch.float32) if weight is None else weight.float()
    share = share * (assign >= 0)
    target = assign.clamp(min=0)
    batch, _, width = features.shape
    totals = share.new_zeros(batch, groups).scatter_add(1, target, share)
    sums = share.new_zeros(batch, groups, width).scatter_add(
        1, target[..., None].expand_as(features), features.float() * share[..., None]
    )
    return sums, totals


def anchored(
    features: torch.Tensor, *, index: torch.Tensor, assign: torch.Tensor, own: float = 1.0, others: float = 1.0
) -> torch.Tensor:
    """`own` times each representative plus `others` times the mean of the other tokens of its group.

    A representative that is alone in its group stays as it is.

    Args:
        features: (B, N, D). index: (B, K) representatives. assign: (B, N) group of each token, -1 for none.
        own, others: factors; 1 and 1 add up, beta and 1 - beta blend.

    Returns:
        (B, K, D) in the dtype of `features`, accumulated in float32.
    """
    import torch

    members = assign.scatter(1, index, torch.full_like(index, -1))
    sums, totals = group_sums(features, members, index.shape[1])
    kept = gather(features, index).float()
    alone = (totals == 0)[..., None]
    return torch.where(alone, kept, own * kept + others * sums / totals.clamp(min=1)[..., None]).to(features.dtype)


def mixed(features: torch.Tensor, *, weight: torch.Tensor) -> torch.Tensor:
    """`weight` (B, K, N) float32 times `features` (B, N, D), in their dtype, accumulated in float32."""
    return (weight @ features.float()).to(features.dtype)


def places(index: torch.Tensor, count: int) -> torch.Tensor:
    """(B, count) int64: where each token stands in `index` (B, K), -1 for tokens that are not in it."""
    import torch

    order = torch.arange(index.shape[1], device=index.device).expand_as(index)
    return index.new_full((index.shape[0], count), -1).scatter(1, index, order)
