"""Density peaks among the members of groups, such as the static and the moving tokens of a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def group_density_peaks(
    features: torch.Tensor, group: torch.Tensor, *, neighbours: int, limit: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Score of each token as a centre of its group, and all distances; `kernels.density_peaks` is for one group of all.

    The score is exp(-mean squared distance to the k nearest of the group, itself included) times the distance to the
    nearest denser one of the group, for its densest to its farthest. Of two equally dense the earlier is denser.

    Args:
        features: (F, n, D). group: (F, n) int64, -1 for tokens in none.
        neighbours: k. limit: (F, n) int64, a smaller k for each token's group, at least 1.

    Returns:
        (F, n) and (F, n, n) float32, infinite between groups. O(n^2 D) time in each of the F frames.
    """
    import torch

    values, count = features.float(), features.shape[1]
    distance = torch.cdist(values, values, compute_mode="donot_use_mm_for_euclid_dist") / features.shape[-1] ** 0.5
    together = (group[:, :, None] == group[:, None]) & (group >= 0)[..., None]
    seen = distance.masked_fill(~together, float("inf"))
    nearest = seen.topk(min(neighbours, count), dim=-1, largest=False).values
    wanted = nearest.isfinite()
    if limit is not None:
        wanted = wanted & (torch.arange(nearest.shape[-1], device=limit.device) < limit.clamp(min=1)[..., None])
    squares = nearest.masked_fill(~wanted, 0).square().sum(dim=-1) / wanted.sum(dim=-1).clamp(min=1)
    density = (-squares).exp()
    earlier = torch.ones(count, count, dtype=torch.bool, device=features.device).tril(-1)
    mine, others = density[..., None], density[:, None]
    denser = ((others > mine) | ((others == mine) & earlier)) & together
    gap = seen.masked_fill(~denser, float("inf")).amin(dim=-1)
    farthest = seen.masked_fill(~together, 0).amax(dim=-1)
    return density * gap.where(denser.any(dim=-1), farthest), seen
