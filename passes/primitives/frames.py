"""Clips as frames: the same place over time, runs of tokens that stay the same, and shares of the frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .select import evenly_spaced, ranked, top_k

if TYPE_CHECKING:
    import torch

    from ...ir.layout import Layout


def frame_shape(layout: Layout) -> tuple[int, int]:
    """Frames and tokens of each; a layout without a grid is one frame."""
    frames = 1 if layout.grid is None else layout.grid[0]
    return frames, layout.count // frames


def by_frame(values: torch.Tensor, layout: Layout) -> torch.Tensor:
    """(B, N, ...) as (B, T, n, ...)."""
    return values.reshape(values.shape[0], *frame_shape(layout), *values.shape[2:])


def spread(count: int, number: int, device: torch.device) -> torch.Tensor:
    """(count,) float32: 1 at `number` evenly spread places, 0 elsewhere; a score that ignores content."""
    import torch

    score = torch.zeros(count, device=device)
    score[evenly_spaced(count, number)] = 1.0
    return score


def run_starts(joins: torch.Tensor) -> torch.Tensor:
    """(..., L) int64 position at which the run of each element began.

    Args:
        joins: (..., L) bool, whether an element joins the one before it; the first never does.
    """
    import torch

    own = torch.arange(joins.shape[-1], device=joins.device).expand_as(joins)
    return own.masked_fill(joins, 0).cummax(dim=-1).values


def quota_top_k(scores: torch.Tensor, quotas: list[int]) -> torch.Tensor:
    """The highest scores of each frame, as many as its quota: (B, sum of quotas) sorted indices into T * n.

    Args:
        scores: (B, T, n). quotas: T counts, each at most n.
    """
    import torch

    allowed = torch.tensor(quotas, device=scores.device)[:, None]
    return top_k((ranks(scores) < allowed).flatten(1).float(), sum(quotas))


def ranks(scores: torch.Tensor) -> torch.Tensor:
    """(..., N) int64 rank of each score along the last dimension, 0 for the highest; equal scores by position."""
    return ranked(scores).argsort(dim=-1)
