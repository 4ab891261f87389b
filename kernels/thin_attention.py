"""Thin attention: the softmax rows of a few queries over all keys, reduced over the heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .dispatch import runs_on_gpu

if TYPE_CHECKING:
    import torch

Reduce = Literal["mean", "max"]


def thin_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    *,
    scale: float,
    mask: torch.Tensor | None = None,
    segments: tuple[torch.Tensor, torch.Tensor] | None = None,
    reduce: Reduce = "mean",
) -> torch.Tensor:
    """softmax(scale * q k^T + mask) of R query rows over all N keys, reduced over the heads, in float32.

    Which rows they are is the caller's: [CLS], the last prompt token, all text rows, a window, or a mean query are each
    a `query` of R rows, a view with any strides. Grouped-query attention is read without repeating the keys: query
    head h uses key head h // (H / G).

    Args:
        query: (B, H, R, D) floating.
        key: (B, G, N, D) of the same dtype, H a multiple of G.
        scale: what the model multiplies the scores with, usually D**-0.5.
        mask: broadcasts to (B, H, R, N), bool (True may be attended to) or additive; None masks nothing.
        segments: ids of the queries (B, R) and of the keys (B, N), int64: a query sees only keys of its own segment,
            as in packed sequences. A key with an id that no query has, such as padding, is seen by none.
        reduce: over the heads, "mean" or "max".

    Returns:
        (B, R, N) float32. A query that may attend to nothing has a row of zeros; NaN in a query, or in a key that it
        sees, makes its row NaN. O(B H R N D) time, O(B R N) memory on a GPU (two launches: log-sum-exp, then the rows)
        and O(B H R N) elsewhere.

    Example:
        >>> import torch
        >>> thin_attention(torch.zeros(1, 2, 1, 4), torch.zeros(1, 1, 5, 4), scale=0.5)[0, 0, 0].item()
        0.20000000298023224
    """
    tensors = (query, key, mask, *(segments or ()))
    if query.dtype == key.dtype and runs_on_gpu(*tensors):
        from .thin_attention_triton import thin_attention_triton

        return thin_attention_triton(query, key, scale=scale, mask=mask, segments=segments, reduce=reduce)
    return thin_attention_torch(query, key, scale=scale, mask=mask, segments=segments, reduce=reduce)


def thin_attention_torch(
    query: torch.Tensor,
    key: torch.Tensor,
    *,
    scale: float,
    mask: torch.Tensor | None = None,
    segments: tuple[torch.Tensor, torch.Tensor] | None = None,
    reduce: Reduce = "mean",
) -> torch.Tensor:
    """`thin_attention` in torch."""
    import torch

    scores = grouped_scores(query, key) * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask.float()
    if segments is not None:
        same = segments[0][:, None, :, None] == segments[1][:, None, None, :]
        scores = scores.masked_fill(~same, float("-inf"))
    weights = softmax_or_zero(scores)
    return weights.mean(dim=1) if reduce == "mean" else weights.amax(dim=1)


def grouped_scores(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """(B, H, R, N) float32 dot products of (B, H, R, D) queries with (B, G, N, D) keys, unscaled."""
    batch, heads, rows, width = query.shape
    grouped = query.float().reshape(batch, key.shape[1], -1, width) @ key.float().mT
    return grouped.reshape(batch, heads, rows, key.shape[2])


def softmax_or_zero(scores: torch.Tensor) -> torch.Tensor:
    """softmax over the last dimension; rows of -inf become zeros instead of NaN."""
    blind = scores.amax(dim=-1, keepdim=True) == float("-inf")
    return scores.masked_fill(blind, 0.0).softmax(dim=-1).masked_fill(blind, 0.0)
