"""Anchors of clips: tokens that collect others which may join several of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .merge import places

if TYPE_CHECKING:
    import torch


def anchor_joins(
    features: torch.Tensor,
    index: torch.Tensor,
    anchors: torch.Tensor,
    joining: torch.Tensor,
    segment: torch.Tensor,
    frames: int,
) -> torch.Tensor:
    """Which tokens join which anchor: in each frame of its segment, the one with the highest cosine.

    Args:
        features: (B, N, D) of `frames` equal frames. index: (B, K) tokens that go on, anchors among them.
        anchors, joining: (B, N) bool, which tokens collect others, and which join.
        segment: (B, N) int64 segment of each token; tokens join only anchors of their own.

    Returns:
        (B, K, N) bool. O(N^2 D / frames) time in each of `frames` steps, O(N^2 / frames) memory beside the result.
    """
    import torch
    from torch.nn.functional import normalize

    batch, total, _ = features.shape
    unit, place = normalize(features.float(), dim=-1), places(index, total)
    joins = torch.zeros(batch, index.shape[1] + 1, total, dtype=torch.bool, device=features.device)
    nowhere = torch.full_like(segment, index.shape[1])
    for step in torch.arange(total, device=features.device).chunk(frames):
        similar = (unit @ unit[:, step].mT).masked_fill(~anchors[:, None, step], float("-inf"))
        best = similar.argmax(dim=-1)
        inside = joining & (segment == segment[:, step[:1]]) & anchors[:, step].any(dim=1, keepdim=True)
        joined = place[:, step].gather(1, best).where(inside, nowhere)
        joins = joins.scatter(1, joined[:, None], True)
    return joins[:, :-1]


def blended(joins: torch.Tensor, index: torch.Tensor, beta: torch.Tensor | float) -> torch.Tensor:
    """(B, K, N) float32 weights: `beta` of the anchor itself, 1 - beta of the mean of what joined it.

    Args:
        joins: (B, K, N) bool. index: (B, K) the anchors; those that nothing joined stay as they are.
        beta: a number, or (B, K, 1).
    """
    import torch

    joined = joins.float()
    count = joined.sum(dim=2, keepdim=True)
    own = torch.where(count > 0, beta, 1.0)
    return (joined * (1 - own) / count.clamp(min=1)).scatter_add(2, index[..., None], own)
