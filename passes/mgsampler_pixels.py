"""MGSampler: frames at equal shares of the clip's motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from .base import register
from .input_pass import FramePass
from .primitives.costs import row_ops
from .score import top_k_ops

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class MGSamplerPixels(FramePass):
    """Sample frames uniformly in accumulated motion instead of time (MGSampler, arXiv:2104.09952, sec. 3).

    Motion between neighbouring frames is how much the picture changes; raised to `power` and summed up it gives a
    cumulative distribution over the clip, and the frames nearest to the middles of K equal shares of it are kept, as
    the authors' code does at test time. A named variant: change is the mean absolute difference of the pixels as the
    model gets them (the paper's code takes 1 - SSIM of grey pictures or distances of shallow features), and where two
    shares fall on one frame the later takes the next free one, so that exactly K frames remain.

    Parameters:
        power: exponent that evens out large motion, 0.5 in the authors' code; 0 is uniform in time.
    """

    name = "mgsampler-pixels"
    source = "arXiv:2104.09952"
    summary = "encode frames at equal shares of the clip's motion"
    mechanism = "similarity"

    power: float = 0.5

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Differences of all pixels with the frame before, then a search in T sums."""
        return (row_ops("frame_difference", width, launches=8), *top_k_ops())

    def frames(self, clip: torch.Tensor, count: int) -> torch.Tensor:
        """The frames nearest to the middles of equal shares of the motion."""
        import torch

        pixels = clip.float()
        motion = (pixels[:, 1:] - pixels[:, :-1]).abs().mean(dim=(2, 3)).clamp(min=1e-12) ** self.power
        passed = torch.nn.functional.pad(motion.cumsum(dim=1), (1, 0))
        shares = (torch.arange(count, device=clip.device) + 0.5) / count
        distance = (passed[:, None] - shares[None, :, None] * passed[:, -1:, None]).abs()
        return spaced(distance.argmin(dim=-1), clip.shape[1])


def spaced(frames: torch.Tensor, total: int) -> torch.Tensor:
    """Sorted frames (B, K) made unique: a repeat becomes the next frame, and the last ones make room before the end.

    Example:
        >>> import torch
        >>> spaced(torch.tensor([[0, 3, 3, 3, 5], [4, 4, 4, 5, 5]]), 6).tolist()
        [[0, 2, 3, 4, 5], [1, 2, 3, 4, 5]]
    """
    import torch

    order = torch.arange(frames.shape[1], device=frames.device)
    later = (frames - order).cummax(dim=1).values + order
    return later.minimum(total - frames.shape[1] + order)
