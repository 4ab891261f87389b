"""Change between frames: how little each token resembles the one at its place in an earlier frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import runs_on_gpu

if TYPE_CHECKING:
    import torch


def frame_change(
    features: torch.Tensor, earlier: torch.Tensor, whole: torch.Tensor, *, frames: int, positions: int
) -> torch.Tensor:
    """The negated cosine of each token with the one at its place in the frame that its own is compared with.

    Frames that are compared with none have scores of their own. A cosine that is NaN is NaN.

    Args:
        features: (B, frames * positions, D) floating, frame after frame.
        earlier: (frames,) int64, the frame that each is compared with; -1 - w where it has row w of `whole` instead.
        whole: (W * positions,) float32.

    Returns:
        (B, frames * positions) float32. O(N D) time; one launch on a GPU.

    Example:
        >>> import torch
        >>> clip = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]])
        >>> scores = frame_change(clip, torch.tensor([-1, 0]), torch.tensor([2.0, 3.0]), frames=2, positions=2)
        >>> scores.abs().tolist()
        [[2.0, 3.0, 1.0, 0.0]]
    """
    if runs_on_gpu(features, earlier, whole):
        from .frame_change_triton import frame_change_triton

        return frame_change_triton(features, earlier, whole, frames=frames, positions=positions)
    return frame_change_torch(features, earlier, whole, frames=frames, positions=positions)


def frame_change_torch(
    features: torch.Tensor, earlier: torch.Tensor, whole: torch.Tensor, *, frames: int, positions: int
) -> torch.Tensor:
    """`frame_change` in torch."""
    from torch.nn.functional import normalize

    unit = normalize(features.float(), dim=-1).view(len(features), frames, positions, -1)
    score = -(unit * unit[:, earlier.clamp(min=0)]).sum(dim=-1)
    own = whole.view(-1, positions)[(-1 - earlier).clamp(min=0)]
    return own.where((earlier < 0)[:, None], score).flatten(1)
