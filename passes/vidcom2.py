"""VidCom2: frames that stand out get more tokens, and in each frame the tokens that stand out stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from .base import Compression, Pass, Tokens, register
from .primitives.budget import share_top_k
from .primitives.costs import row_ops, top_k_op
from .primitives.frames import by_frame, frame_shape

if TYPE_CHECKING:
    import torch

_VARIANCES = tuple(2.0**power for power in range(-3, 2))


@register
@dataclass(frozen=True)
class VidCom2(Pass):
    """Frame budgets by uniqueness, outliers in each frame (arXiv:2505.14454; the public code).

    On the `channels` share of channels that vary least, tokens are normalised and compared with the mean of the clip
    and of their frame by a sum of Gaussian kernels of five variances. A frame's share is keep * (1 + p - mean p), p
    being the softmax of its negated mean similarity to the clip over `temperature`, at most 1. In each frame the tokens
    least similar to both means stay, at least one.

    Exact count: shares are rounded by the divisor that leaves K (Webster), which is as published where those add up.
    """

    name = "vidcom2"
    source = "arXiv:2505.14454"
    summary = "keep the tokens least like their frame and clip, more of them in unusual frames"
    mechanism = "similarity"
    modalities = ("video",)
    consumes = ("temporal", "feature")
    catalog_id = "vidcom2"
    needs_grid = True

    channels: float = 0.5
    temperature: float = 0.01

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Variances, two distances and ten exponentials for each token, two rankings."""
        return row_ops("variance", width), row_ops("gaussians", 2 * width, launches=40), top_k_op(), top_k_op()

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """The outliers of each frame."""
        import torch

        frames, places = frame_shape(tokens.layout)
        clip, frame = self._similarities(tokens)
        uniqueness = -clip.mean(dim=-1)
        chance = (uniqueness / self.temperature).softmax(dim=-1)
        keep = target.count / tokens.layout.count
        share = (keep * (1 + chance - chance.mean(dim=-1, keepdim=True))).clamp(max=1.0) * places
        group = torch.arange(frames, device=clip.device).repeat_interleave(places).expand(len(clip), -1)
        scores = -(clip + frame).flatten(1)
        return Compression(share_top_k(scores, group, share, target.count, at_least=1))

    def _similarities(self, tokens: Tokens) -> tuple[torch.Tensor, torch.Tensor]:
        """Gaussian similarity of each token to the means of its clip and of its frame, (B, T, n) each."""
        from torch.nn.functional import normalize

        features = tokens.features.float()
        number = max(1, int(features.shape[-1] * self.channels))
        steady = features.var(dim=1, unbiased=False).topk(number, dim=-1, largest=False).indices
        chosen = features.gather(2, steady[:, None].expand(-1, features.shape[1], -1))
        unit = normalize(by_frame(chosen, tokens.layout), dim=-1)
        clip = _gaussians(unit - unit.mean(dim=(1, 2), keepdim=True))
        return clip, _gaussians(unit - unit.mean(dim=2, keepdim=True))


def _gaussians(difference: torch.Tensor) -> torch.Tensor:
    """Sum over the variances of exp(-|difference|^2 / (2 variance)), over the last dimension."""
    import torch

    squares = difference.square().sum(dim=-1)
    return torch.stack([(-squares / (2 * variance)).exp() for variance in _VARIANCES]).sum(dim=0)
