"""Attention masks of compacted sequences, in every form that transformers hands to a decoder layer."""

from __future__ import annotations

from typing import Any

import torch


def with_validity(mask: torch.Tensor | None, valid: torch.Tensor | None) -> torch.Tensor | None:
    """`mask` with the filled-up columns closed.

    Args:
        mask: (B, keys) of ones and zeros or bool, (B, heads or 1, queries, keys) bool or additive, or None.
        valid: (B, keys) bool, or None where every column is a token.

    Returns:
        A mask of the same form; where `mask` is None, the 2-d mask of `valid`.
    """
    if valid is None:
        return mask
    if mask is None:
        return valid.long()
    if mask.ndim == 2:
        return mask * valid.to(mask.dtype)
    if mask.dtype == torch.bool:
        return mask & valid[:, None, None, :]
    return mask.masked_fill(~valid[:, None, None, :], torch.finfo(mask.dtype).min)


def index_mask(
    queries: torch.Tensor, columns: torch.Tensor, valid: torch.Tensor | None, *, dtype: torch.dtype | None
) -> torch.Tensor:
    """The causal mask of tokens known by their places in the original sequence.

    Args:
        queries: (B, Q) int64. columns: (B, K) int64. valid: (B, K) bool, or None where every column is a token.
        dtype: floating dtype of an additive mask; None gives a boolean one, True where a key may be attended to.

    Returns:
        (B, 1, Q, K). A query that may attend to nothing (a filled-up row) attends to everything, as sdpa needs it.
    """
    mask = columns[:, None, :] <= queries[:, :, None]
    if valid is not None:
        mask = mask & valid[:, None, :]
    mask = (mask | ~mask.any(dim=-1, keepdim=True))[:, None]
    if dtype is None:
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)


def weighed(mask: torch.Tensor, sizes: torch.Tensor, *, dtype: torch.dtype) -> torch.Tensor:
    """An additive mask that lets attention take a key for as many tokens as it stands for: log(size) on its column.

    Args:
        mask: (B, heads or 1, queries, keys) bool or additive. sizes: (B, keys), at least 1.
        dtype: floating dtype of the result.
    """
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)
    return mask + sizes.log().to(dtype)[:, None, None, :]


def additive_dtype(config: Any, hidden: torch.Tensor) -> torch.dtype | None:
    """The dtype of masks that an attention implementation adds to its scores; None where it takes boolean ones."""
    return hidden.dtype if config._attn_implementation == "eager" else None
