"""Temporal similarity: how much a token changed since the frame before, and the runs in which it stayed the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .dispatch import runs_on_gpu

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TemporalRuns:
    """What each position of a clip does over time.

    Attributes:
        similarity: (B, T, S) float32 cosine with the same position one frame before; -inf in frame 0.
        start: (B, T, S) int64 the frame in which the run that the token belongs to began.
        length: (B, T, S) int64 frames in the run that begins at the token, 0 where none begins.
    """

    similarity: torch.Tensor
    start: torch.Tensor
    length: torch.Tensor


def temporal_runs(features: torch.Tensor, *, threshold: float) -> TemporalRuns:
    """Cosines between frames, and the runs of tokens whose cosine with the frame before is at least `threshold`.

    A cosine that is NaN ends the run.

    Args:
        features: (B, T, S, D) floating, S positions in each of T frames.
        threshold: a cosine.

    Returns:
        The similarity and the runs. O(B T S D) time; one launch on a GPU.

    Example:
        >>> import torch
        >>> clip = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])[None, :, None]
        >>> temporal_runs(clip, threshold=0.9).length.flatten().tolist()
        [2, 0, 1]
    """
    if runs_on_gpu(features):
        from .temporal_runs_triton import temporal_runs_triton

        return temporal_runs_triton(features, threshold=threshold)
    return temporal_runs_torch(features, threshold=threshold)


def temporal_runs_torch(features: torch.Tensor, *, threshold: float) -> TemporalRuns:
    """`temporal_runs` in torch."""
    import torch
    from torch.nn.functional import normalize

    batch, frames, positions, _ = features.shape
    unit = normalize(features.float(), dim=-1)
    similarity = unit.new_full((batch, frames, positions), float("-inf"))
    similarity[:, 1:] = (unit[:, 1:] * unit[:, :-1]).sum(-1)
    time = torch.arange(frames, device=features.device)[:, None].expand(batch, frames, positions)
    begins = ~(similarity >= threshold)
    begins[:, 0] = True
    start = time.masked_fill(~begins, 0).cummax(dim=1).values
    length = torch.zeros_like(start).scatter_add(1, start, torch.ones_like(start))
    return TemporalRuns(similarity, start, length)
