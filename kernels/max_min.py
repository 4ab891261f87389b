"""Greedy max-min selection: the subset whose members are far apart under cosine distance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import LONGEST_ROW, runs_on_gpu

if TYPE_CHECKING:
    import torch


def max_min(features: torch.Tensor, count: int) -> torch.Tensor:
    """Greedy max-min selection: start at the token whose nearest neighbour is farthest, then add the farthest token.

    Distances are 1 - cosine, in float32 (DivPrune, arXiv:2503.02175, algorithm 1). Equal distances choose the earlier
    token; a token that holds NaN or infinity counts as the zero vector, at distance 1 from every other.

    Args:
        features: (B, N, D) floating. count: K, from 1 to N.

    Returns:
        (B, K) int64 in the order of selection. O(N^2 D + N K) time; the (B, N, N) distances are held once, since the
        start needs all of them.

    Example:
        >>> import torch
        >>> max_min(torch.tensor([[[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [-1.0, 0.1]]]), 3).tolist()
        [[3, 0, 2]]
    """
    distance = cosine_distances(features)
    distance = _with_diagonal(distance, float("inf"))
    start = distance.amin(-1).argmax(-1)
    # A token's distance to itself: once it is chosen, nothing can bring it back.
    distance = _with_diagonal(distance, float("-inf"))
    return farthest_first(distance, start, count=count)


def _with_diagonal(distance: torch.Tensor, value: float) -> torch.Tensor:
    """`distance` with `value` on its diagonals: written in place, but for an exporter, which records no such write."""
    import torch

    if torch.compiler.is_exporting():
        return distance.masked_fill(torch.eye(distance.shape[-1], dtype=torch.bool, device=distance.device), value)
    distance.diagonal(dim1=-2, dim2=-1).fill_(value)
    return distance


def cosine_distances(features: torch.Tensor) -> torch.Tensor:
    """(B, N, N) float32: 1 - cosine of every pair; tokens with NaN or infinity count as zero vectors."""
    import torch
    from torch.nn.functional import normalize

    unit = normalize(features.float(), dim=-1).nan_to_num(0.0)
    return torch.baddbmm(unit.new_ones(()), unit, unit.mT, alpha=-1)


def farthest_first(distance: torch.Tensor, start: torch.Tensor, *, count: int) -> torch.Tensor:
    """The greedy steps from `start` on: always the token whose nearest chosen token is farthest, else the earlier.

    Args:
        distance: (B, N, N) float32, free of NaN, -inf on the diagonal.
        start: (B,) int64. count: K, from 1 to N.

    Returns:
        (B, K) int64 in the order of selection. O(N K) time and reads; one launch on a GPU.
    """
    import torch

    if distance.shape[-1] <= LONGEST_ROW and runs_on_gpu(distance, start):
        from .max_min_triton import farthest_first_triton

        return farthest_first_triton(distance, start, count=count)
    if distance.device.type == "cpu" and not torch.compiler.is_exporting():  # an exporter records no numpy
        return farthest_first_numpy(distance, start, count=count)
    return farthest_first_torch(distance, start, count=count)


def farthest_first_torch(distance: torch.Tensor, start: torch.Tensor, *, count: int) -> torch.Tensor:
    """`farthest_first` as tensor operations, without a host synchronisation."""
    import torch

    batch, tokens, _ = distance.shape
    rows = distance.reshape(batch * tokens, tokens)
    first = torch.arange(batch, device=distance.device) * tokens
    nearest = torch.full_like(distance[:, 0], float("inf"))
    order = [start]
    for _ in range(count - 1):
        nearest = torch.minimum(nearest, rows.index_select(0, order[-1] + first))
        order.append(nearest.argmax(-1))
    return torch.stack(order, dim=-1)


def farthest_first_numpy(distance: torch.Tensor, start: torch.Tensor, *, count: int) -> torch.Tensor:
    """`farthest_first` in numpy, whose calls on a few hundred numbers cost a fraction of torch's."""
    import numpy as np
    import torch

    table, starts = distance.detach().numpy(), start.tolist()
    order = np.empty((len(table), count), dtype=np.int64)
    for rows, found, chosen in zip(table, order, starts, strict=True):
        nearest = np.full(len(rows), np.inf, dtype=np.float32)
        for step in range(count):
            found[step] = chosen
            np.minimum(nearest, rows[chosen], out=nearest)
            chosen = nearest.argmax()
    return torch.from_numpy(order)
