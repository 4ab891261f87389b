"""Nearest-anchor assignment: every token joins its most similar anchor, whose group `segmented_mean` averages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .best_match import best_match

if TYPE_CHECKING:
    import torch


def nearest_anchor(features: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The anchor that every token joins: the one of the highest cosine, itself where the token is an anchor.

    Among equal cosines the earlier anchor is taken; a token with NaN joins anchor 0.

    Args:
        features: (B, N, D) floating.
        index: (B, K) int64 without repeats, the tokens that are anchors.

    Returns:
        (B, N) int64 position in `index`. O(N K D) time, never N x K in memory on a GPU.

    Example:
        >>> import torch
        >>> tokens = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.2, 0.8]]])
        >>> nearest_anchor(tokens, torch.tensor([[0, 1]])).tolist()
        [[0, 1, 0, 1]]
    """
    import torch

    anchors = features.gather(1, index[..., None].expand(-1, -1, features.shape[-1]))
    own = torch.arange(index.shape[1], device=index.device).expand_as(index)
    return best_match(features, anchors)[1].scatter(1, index, own)
