"""TimeChat-Online's differential token drop: tokens that did not change since the last frame go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..kernels.temporal_runs import temporal_runs
from .adaptive import AdaptivePass
from .base import Compression, Tokens, register
from .primitives.costs import row_ops
from .primitives.frames import by_frame, frame_shape, spread
from .score import ScorePass

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class TimeChatOnline(AdaptivePass, ScorePass):
    """Differential token drop on features (arXiv:2504.17343): low similarity to the frame before stays.

    Similarity is the cosine with the token at the same place one frame earlier, whether or not that one stays. The
    first frame stays whole. Exact count: the paper drops above a threshold on all similarities of the clip, here it is
    the one that leaves K. Where K does not cover the first frame, evenly spread tokens of it stay. `adaptive` takes the
    absolute `threshold`, 0.5 in the public code's demo.
    """

    name = "timechat-online"
    source = "arXiv:2504.17343"
    summary = "drop the tokens that changed least since the frame before"
    mechanism = "similarity"
    modalities = ("video",)
    consumes = ("temporal", "feature")
    catalog_id = "timechat-online"
    training = "both"
    needs_grid = True

    threshold: float = 0.5

    def score_ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Cosines with the frame before."""
        return (row_ops("temporal_cosine", width, launches=8),)

    def score(self, tokens: Tokens) -> torch.Tensor:
        """The negated similarity; the first frame comes before all others, (B, N)."""
        clip = by_frame(tokens.features, tokens.layout)
        scores = -temporal_runs(clip, threshold=1.0).similarity
        scores[:, 0] = 2.0 + self._spread(tokens)
        return scores.flatten(1)

    def published(self, tokens: Tokens) -> Compression:
        """The first frame, and what is no more similar to the frame before than `threshold`."""
        changed = temporal_runs(by_frame(tokens.features, tokens.layout), threshold=1.0).similarity <= self.threshold
        changed[:, 0] = True
        return Compression(changed.flatten(1)[0].nonzero().T)

    def _spread(self, tokens: Tokens) -> torch.Tensor:
        """Scores from 0 to 1 by which any number of the first frame's highest is evenly spread."""
        import torch

        places = frame_shape(tokens.layout)[1]
        halves = [spread(places, number, tokens.features.device) for number in _halvings(places)]
        return torch.stack(halves).mean(dim=0)


def _halvings(count: int) -> list[int]:
    """`count`, half of it, a quarter, ... down to 1."""
    return [count] if count <= 1 else [count, *_halvings(count // 2)]
