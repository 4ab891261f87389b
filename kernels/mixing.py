"""Mixing tokens: sums of all tokens of a row, each with weights of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import runs_on_gpu

if TYPE_CHECKING:
    import torch


def mix_tokens(weight: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """`weight` times `features`, summed in float32.

    Args:
        weight: (B, K, N) float32. features: (B, N, D) floating.

    Returns:
        (B, K, D) in the dtype of `features`. O(K N D) time; one launch on a GPU, where no copy of the features is made.

    Example:
        >>> import torch
        >>> mix_tokens(torch.tensor([[[1.0, 0.5]]]), torch.tensor([[[2.0], [4.0]]])).tolist()
        [[[4.0]]]
    """
    if runs_on_gpu(weight, features):
        from .mixing_triton import mix_tokens_triton

        return mix_tokens_triton(weight, features)
    return mix_tokens_torch(weight, features)


def mix_tokens_torch(weight: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """`mix_tokens` in torch."""
    return (weight @ features.float()).to(features.dtype)
