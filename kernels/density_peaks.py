"""Density peaks: how crowded a token's neighbourhood is, and how far the nearest more crowded one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import runs_on_gpu

if TYPE_CHECKING:
    import torch


def density_peaks(features: torch.Tensor, *, neighbours: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Local density and distance to the nearest denser token (DPC-KNN, as in arXiv:2204.08680, section 3.2).

    Distances are Euclidean over sqrt(D). Density is exp(-mean of the squared distances to the k nearest tokens, the
    token itself among them as in the public code). Of two equally dense tokens the earlier counts as denser; the
    densest of a row has the distance to its farthest token. A distance that is NaN counts as infinite.

    Args:
        features: (B, N, D) floating.
        neighbours: k; no more than N are looked at.

    Returns:
        Density and distance, each (B, N) float32. Their product ranks cluster centres. O(N^2 D) time; the distances
        are never held on a GPU (two launches), and once as (B, N, N) elsewhere.

    Example:
        >>> import torch
        >>> density, distance = density_peaks(torch.tensor([[[0.0], [0.0], [1.0], [9.0]]]), neighbours=2)
        >>> distance.tolist()
        [[9.0, 0.0, 1.0, 8.0]]
    """
    if runs_on_gpu(features):
        from .density_peaks_triton import density_peaks_triton

        return density_peaks_triton(features, neighbours=neighbours)
    return density_peaks_torch(features, neighbours=neighbours)


def density_peaks_torch(features: torch.Tensor, *, neighbours: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """`density_peaks` in torch."""
    import torch

    tokens, width = features.shape[1:]
    values = features.float()
    # Differences, not |a|^2 + |b|^2 - 2ab, whose rounding would give equal tokens a distance.
    distance = torch.cdist(values, values, compute_mode="donot_use_mm_for_euclid_dist") / width**0.5
    distance = distance.nan_to_num(nan=float("inf"), posinf=float("inf"))
    nearest = distance.topk(min(neighbours, tokens), dim=-1, largest=False).values
    density = (-nearest.square().mean(-1)).exp()
    mine, others = density[..., None], density[:, None]
    earlier = torch.ones(tokens, tokens, dtype=torch.bool, device=features.device).tril(-1)
    denser = (others > mine) | ((others == mine) & earlier)
    found = distance.masked_fill(~denser, float("inf")).amin(-1)
    return density, found.where(denser.any(-1), distance.amax(-1))
