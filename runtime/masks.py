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


def causal_mask(config: Any, hidden: torch.Tensor, valid: torch.Tensor) -> Any:
    """The model's own causal mask over a sequence without past, with the filled-up columns of `valid` closed."""
    from transformers.masking_utils import create_causal_mask

    return create_causal_mask(
        config=config, inputs_embeds=hidden, attention_mask=valid, past_key_values=None, position_ids=None
    )
