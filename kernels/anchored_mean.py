"""Anchored means: representatives that collect the other tokens of their groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import runs_on_gpu

if TYPE_CHECKING:
    import torch


def anchored_mean(
    features: torch.Tensor, index: torch.Tensor, assign: torch.Tensor, *, halving: bool = False
) -> torch.Tensor:
    """Each representative plus the mean of the others of its group (VisionZip, arXiv:2412.04467, the public code).

    With `halving` it is a running mean instead (HoliTom, arXiv:2505.21334, the public code): the others arrive in order
    of position, and each time the mean of what stands there and what arrives takes its place. A representative without
    others stays as it is. Sums are in float32.

    Args:
        features: (B, N, D) floating. index: (B, K) int64, the representatives.
        assign: (B, N) int64 group of each token, representatives in their own; -1 for tokens that take no part.

    Returns:
        (B, K, D) in the dtype of `features`. O(N D) time, and O(N K) more to look for the members on a GPU (one launch,
        the same sums every time).

    Example:
        >>> import torch
        >>> tokens, group = torch.tensor([[[8.0], [4.0], [2.0]]]), torch.tensor([[0, 0, 0]])
        >>> anchored_mean(tokens, torch.tensor([[0]]), group).tolist()
        [[[11.0]]]
        >>> anchored_mean(tokens, torch.tensor([[0]]), group, halving=True).tolist()
        [[[4.0]]]
    """
    if runs_on_gpu(features, index, assign):
        from .anchored_mean_triton import anchored_mean_triton

        return anchored_mean_triton(features, index, assign, halving=halving)
    return anchored_mean_torch(features, index, assign, halving=halving)


def anchored_mean_torch(
    features: torch.Tensor, index: torch.Tensor, assign: torch.Tensor, *, halving: bool = False
) -> torch.Tensor:
    """`anchored_mean` in torch, by scattered sums."""
    import torch

    batch, _, width = features.shape
    groups = index.shape[1]
    # Representatives, and what takes no part, go to one group more.
    group = assign.where(assign >= 0, groups).scatter(1, index, groups)
    arrived = torch.zeros(batch, groups + 1, device=features.device)
    arrived = arrived.scatter_add(1, group, torch.ones_like(group, dtype=torch.float32))
    share = torch.exp2(-_turns_left(group).float()) if halving else torch.ones_like(group, dtype=torch.float32)
    summed = torch.zeros(batch, groups + 1, width, device=features.device).scatter_add(
        1, group[..., None].expand(-1, -1, width), features.float() * share[..., None]
    )[:, :groups]
    others = arrived[:, :groups, None]
    own = features.gather(1, index[..., None].expand(-1, -1, width)).float()
    found = own * torch.exp2(-others) + summed if halving else own + summed / others.clamp(min=1)
    return found.where(others > 0, own).to(features.dtype)


def _turns_left(group: torch.Tensor) -> torch.Tensor:
    """(B, N) int64: how many tokens of its group stand at or after each."""
    import torch

    order = group.argsort(dim=1, stable=True)
    ordered = group.gather(1, order)
    end = torch.searchsorted(ordered, ordered, right=True)
    left = end - torch.arange(group.shape[1], device=group.device)
    return torch.empty_like(group).scatter_(1, order, left)
