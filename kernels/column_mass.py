"""Column mass: how much attention every key receives from all queries, without the N x N matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import runs_on_gpu
from .thin_attention import grouped_scores, softmax_or_zero

if TYPE_CHECKING:
    import torch

_CHUNK = 1 << 22
"""Scores that the torch way holds at once."""


def column_mass(
    query: torch.Tensor,
    key: torch.Tensor,
    *,
    scale: float,
    causal: bool = False,
    segments: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Sum over the queries, mean over the heads, of softmax(scale * q k^T), in float32.

    Divide by the number of queries for the mean attention received.

    Args:
        query: (B, H, R, D) floating.
        key: (B, G, N, D) of the same dtype, H a multiple of G; query head h uses key head h // (H / G).
        scale: what the model multiplies the scores with, usually D**-0.5.
        causal: hide the keys after each query; the last query stands at the last key.
        segments: ids of the queries (B, R) and of the keys (B, N), int64: a query sees only keys of its own segment.
            Queries whose id no key has, such as padding, give nothing.

    Returns:
        (B, N) float32; the mass of a row sums to the number of queries that see anything. NaN in a query, or in a key
        that it sees, makes the row NaN at all keys (outside its segment: 0 * NaN is not taken). O(B H R N D) time; two
        passes over the scores and O(B H R) memory on a GPU (the saved log-sum-exp), chunks of queries elsewhere.
    """
    if query.dtype == key.dtype and runs_on_gpu(query, key, *(segments or ())):
        from .column_mass_triton import column_mass_triton

        return column_mass_triton(query, key, scale=scale, causal=causal, segments=segments)
    return column_mass_torch(query, key, scale=scale, causal=causal, segments=segments)


def column_mass_torch(
    query: torch.Tensor,
    key: torch.Tensor,
    *,
    scale: float,
    causal: bool = False,
    segments: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """`column_mass` in torch, some queries at a time."""
    import torch

    batch, heads, rows, _ = query.shape
    columns = key.shape[2]
    step = max(1, _CHUNK // (batch * heads * columns))
    mass = torch.zeros(batch, columns, dtype=torch.float32, device=query.device)
    places = torch.arange(columns, device=query.device)
    for start in range(0, rows, step):
        scores = grouped_scores(query[:, :, start : start + step], key) * scale
        if causal:
            last = torch.arange(start, start + scores.shape[2], device=query.device) + columns - rows
            scores = scores.masked_fill(places > last[:, None], float("-inf"))
        if segments is not None:
            same = segments[0][:, None, start : start + step, None] == segments[1][:, None, None, :]
            scores = scores.masked_fill(~same, float("-inf"))
        mass += softmax_or_zero(scores).mean(dim=1).sum(dim=1)
    return mass
