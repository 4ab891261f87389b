"""Joining anchors: of tokens that do not go on, each joins its most similar anchor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .best_match import best_match_torch
from .dispatch import runs_on_gpu

if TYPE_CHECKING:
    import torch


def join_anchors(features: torch.Tensor, anchors: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """The place among the tokens that go on to which every token goes: its own, or that of its nearest anchor.

    The nearest has the highest cosine; among equal ones the earlier anchor is taken, and NaN counts as -inf.

    Args:
        features: (B, N, W) floating, what is compared.
        anchors: (B, C) int64, tokens that go on and may be joined; at least one.
        place: (B, N) int64, the place of each token that goes on, -1 for others.

    Returns:
        (B, N) int64. O(N C W) time; one launch on a GPU, where no cosine is stored.

    Example:
        >>> import torch
        >>> tokens = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.2, 0.8]]])
        >>> join_anchors(tokens, torch.tensor([[0, 1]]), torch.tensor([[0, 1, -1, -1]])).tolist()
        [[0, 1, 0, 1]]
    """
    if runs_on_gpu(features, anchors, place):
        from .anchor_joining_triton import join_anchors_triton

        return join_anchors_triton(features, anchors, place)
    return join_anchors_torch(features, anchors, place)


def join_anchors_torch(features: torch.Tensor, anchors: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """`join_anchors` in torch."""
    targets = features.gather(1, anchors[..., None].expand(-1, -1, features.shape[-1]))
    joined = place.gather(1, anchors).gather(1, best_match_torch(features, targets)[1])
    return place.where(place >= 0, joined)
