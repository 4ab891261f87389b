"""Carrying out a compression on features: gather what is kept, or average what is merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ..base import Compression


def merged(features: torch.Tensor, compression: Compression) -> torch.Tensor:
    """The (B, K, D) features that go on, in the dtype of `features`.

    Without `assign` the kept rows are gathered. With it each group becomes its weighted mean, accumulated in float32;
    tokens assigned to -1 take no part.
    """
    import torch

    index = compression.index[..., None].expand(-1, -1, features.shape[-1])
    if compression.assign is None:
        return features.gather(1, index)
    weight = features.new_ones(features.shape[:2], dtype=torch.float32)
    if compression.weight is not None:
        weight = compression.weight.float()
    weight = weight * (compression.assign >= 0)
    target = compression.assign.clamp(min=0)
    total = weight.new_zeros(index.shape[:2]).scatter_add(1, target, weight)
    summed = weight.new_zeros(index.shape).scatter_add(
        1, target[..., None].expand_as(features), features.float() * weight[..., None]
    )
    return (summed / total[..., None]).to(features.dtype)
