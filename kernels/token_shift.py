"""How far every token moved between two states of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import runs_on_gpu

if TYPE_CHECKING:
    import torch

_SMALLEST = 1e-8
"""Below which the norm of a token counts as this in a cosine, as in torch's `cosine_similarity`."""


def token_shift(features: torch.Tensor, before: torch.Tensor, *, distance: str = "l2") -> torch.Tensor:
    """The distance of each token to what it was, in float32 (arXiv:2508.00367).

    NaN or infinity in a token is in its distance.

    Args:
        features, before: (B, N, D) floating. distance: `l2` or `l1` of the difference, or `cosine`, 1 - cosine.

    Returns:
        (B, N) float32. O(N D) time; one launch on a GPU.

    Example:
        >>> import torch
        >>> token_shift(torch.tensor([[[3.0, 4.0]]]), torch.zeros(1, 1, 2), distance="l1").tolist()
        [[7.0]]
    """
    if runs_on_gpu(features, before):
        from .token_shift_triton import token_shift_triton

        return token_shift_triton(features, before, distance=distance)
    return token_shift_torch(features, before, distance=distance)


def token_shift_torch(features: torch.Tensor, before: torch.Tensor, *, distance: str = "l2") -> torch.Tensor:
    """`token_shift` in torch."""
    from torch.nn.functional import cosine_similarity

    after, earlier = features.float(), before.float()
    if distance == "cosine":
        return 1 - cosine_similarity(after, earlier, dim=-1, eps=_SMALLEST)
    moved: torch.Tensor = (after - earlier).norm(p=1 if distance == "l1" else 2, dim=-1)
    return moved
