"""Distance-bounded density peaks (DBDPC): centres in order of density, each farther than a cutoff from the earlier."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def opened_centres(distance: torch.Tensor, cutoff: float, *, spread: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Go through the tokens from dense to sparse and open a centre wherever none is within `cutoff`.

    The density is the sum of exp(-(distance / spread)^2) over all tokens; of equals the earlier is denser.

    Args:
        distance: (B, N, N) float32, 0 on the diagonal.

    Returns:
        (B, N) int64 the tokens from dense to sparse; (B, N) float32, for each of these the distance to the nearest
        centre opened before it, infinite for the first, so that it is a centre where this is above `cutoff`.
        O(N^2) time in N steps.
    """
    order = (-(distance / spread).square()).exp().sum(dim=-1).argsort(dim=-1, descending=True, stable=True)
    index = order[..., None].expand_as(distance)
    sorted_rows = distance.gather(1, index).gather(2, order[:, None].expand_as(distance))
    gaps = _on_host(sorted_rows, cutoff) if distance.device.type == "cpu" else _on_device(sorted_rows, cutoff)
    return order, gaps


def _on_device(rows: torch.Tensor, cutoff: float) -> torch.Tensor:
    """The steps as tensor operations, without a host synchronisation."""
    import torch

    nearest = torch.full_like(rows[:, 0], float("inf"))
    gaps = []
    for step in range(rows.shape[1]):
        gaps.append(nearest[:, step])
        opened = (nearest[:, step] > cutoff)[:, None]
        nearest = torch.minimum(nearest, rows[:, step]).where(opened, nearest)
    return torch.stack(gaps, dim=-1)


def _on_host(rows: torch.Tensor, cutoff: float) -> torch.Tensor:
    """The same steps in numpy."""
    import numpy as np
    import torch

    table = rows.detach().numpy()
    nearest = np.full(table.shape[:2], np.inf, dtype=np.float32)
    gaps = np.empty_like(nearest)
    for step in range(table.shape[1]):
        gaps[:, step] = nearest[:, step]
        opened = nearest[:, step] > cutoff
        nearest[opened] = np.minimum(nearest[opened], table[opened, step])
    return torch.from_numpy(gaps)
