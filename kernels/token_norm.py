"""The length of every token: the cheapest score that looks at content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import runs_on_gpu

if TYPE_CHECKING:
    import torch


def token_norm(features: torch.Tensor, *, negated: bool = False, order: int = 2) -> torch.Tensor:
    """Norm of each token in float32; with `negated` its negative, by which the shortest rank first.

    NaN or infinity in a token is in its norm.

    Args:
        features: (B, N, D) floating. order: 1 sums magnitudes, 2 is the root of the sum of squares.

    Returns:
        (B, N) float32. O(N D) time; one launch on a GPU.

    Example:
        >>> import torch
        >>> token_norm(torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])).tolist()
        [[5.0, 1.0]]
    """
    if runs_on_gpu(features):
        from .token_norm_triton import token_norm_triton

        return token_norm_triton(features, negated=negated, order=order)
    return token_norm_torch(features, negated=negated, order=order)


def token_norm_torch(features: torch.Tensor, *, negated: bool = False, order: int = 2) -> torch.Tensor:
    """`token_norm` in torch."""
    norm: torch.Tensor = features.float().norm(p=order, dim=-1)
    return -norm if negated else norm
