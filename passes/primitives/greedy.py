"""Greedy subset selection under cosine distance."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def max_min(features: torch.Tensor, count: int) -> torch.Tensor:
    """Greedy max-min selection: start at the token whose nearest neighbour is farthest, then add the farthest token.

    Distances are 1 - cosine, in float32. Equal distances choose the earlier token.

    Args:
        features: (B, N, D) floating. count: K, from 1 to N.

    Returns:
        (B, K) int64 in the order of selection. O(N^2 D + N K) time; the (B, N, N) distances are held once, since the
        start needs all of them.
    """
    import torch
    from torch.nn.functional import normalize

    unit = normalize(features.float(), dim=-1)
    distance = torch.baddbmm(unit.new_ones(()), unit, unit.mT, alpha=-1)
    others = distance.clone()
    others.diagonal(dim1=-2, dim2=-1).fill_(float("inf"))
    chosen = others.amin(-1).argmax(-1, keepdim=True)
    order = [chosen]
    nearest = torch.full_like(distance[..., 0], float("inf"))
    taken = torch.zeros_like(nearest)
    for _ in range(count - 1):
        row = distance.gather(1, chosen[..., None].expand(-1, -1, distance.shape[-1])).squeeze(1)
        nearest = torch.minimum(nearest, row)
        taken.scatter_(-1, chosen, float("-inf"))
        chosen = (nearest + taken).argmax(-1, keepdim=True)
        order.append(chosen)
    return torch.cat(order, dim=-1)
