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
    diagonal = distance.diagonal(dim1=-2, dim2=-1)
    diagonal.fill_(float("inf"))
    start = distance.amin(-1).argmax(-1)
    # A token's distance to itself: once it is chosen, nothing can bring it back.
    diagonal.fill_(float("-inf"))
    return _on_host(distance, start, count) if distance.device.type == "cpu" else _on_device(distance, start, count)


def _on_device(distance: torch.Tensor, start: torch.Tensor, count: int) -> torch.Tensor:
    """The greedy steps as tensor operations, without a host synchronisation."""
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


def _on_host(distance: torch.Tensor, start: torch.Tensor, count: int) -> torch.Tensor:
    """The same steps in numpy, whose calls on a few hundred numbers cost a fraction of torch's."""
    import numpy as np
    import torch

    table, chosen = distance.detach().numpy(), start.numpy()
    order = np.empty((len(table), count), dtype=np.int64)
    order[:, 0] = chosen
    batch = np.arange(len(table))
    nearest = np.full(table.shape[::2], np.inf, dtype=np.float32)
    for step in range(1, count):
        np.minimum(nearest, table[batch, chosen], out=nearest)
        chosen = nearest.argmax(-1)
        order[:, step] = chosen
    return torch.from_numpy(order)
