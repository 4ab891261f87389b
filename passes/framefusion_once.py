"""FrameFusion in one place: merge what stayed the same over time, then drop what gets little attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.signal import Need, received
from ..kernels.temporal_runs import temporal_runs
from .adaptive import AdaptivePass
from .base import Compression, Tokens, register
from .primitives.costs import attention_column_op, merge_op, row_ops, top_k_op
from .primitives.frames import by_frame, frame_shape, ranks, run_starts
from .primitives.merge import places
from .primitives.select import top_k

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class FrameFusionOnce(AdaptivePass):
    """FrameFusion's merging and pruning at one decoder layer (arXiv:2501.01986; the public code).

    A token whose cosine with the same place one frame before is at least `threshold` merges into that one; chains merge
    into their first token as a mean. If that would leave fewer than K, only the most similar are merged. If it leaves
    more, those with the least attention received in the layer before (averaged over heads and all queries) are dropped.

    A named variant: the paper merges anew at each of the first layers until few tokens merge, then prunes once, and
    solves how many from a total cost, for which a layer must know what the ones before it merged; here both are done at
    one site and K is given. Where merging alone reaches K this is a layer of the published method; with `adaptive` it
    is one: all that reach `threshold` merge, and none are dropped.
    """

    name = "framefusion-once"
    source = "arXiv:2501.01986"
    summary = "merge tokens that stayed the same over frames, then drop those with least attention"
    mechanism = "mixed"
    modalities = ("video",)
    sites = ("decoder.layer",)
    consumes = ("temporal", "attention")
    query_aware = True
    catalog_id = "framefusion"
    needs_grid = True

    threshold: float = 0.6

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The attention that media tokens receive in the layer before; none where merging alone decides."""
        return () if self.adaptive else (received("decoder", -1),)

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Cosines with the frame before, the attention of all queries, two rankings and the merge."""
        dropping = () if self.adaptive else (attention_column_op(width), top_k_op())
        return row_ops("temporal_cosine", width, launches=8), *dropping, top_k_op(), merge_op(width)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """First tokens of the chains that stay, with the means of their chains."""
        similar = self._similar(tokens)
        excess = tokens.layout.count - target.count
        merges = (ranks(similar) < excess) & (similar >= self.threshold)
        attention = tokens.signal(received("decoder", -1))
        index = top_k(attention.masked_fill(merges, float("-inf")), target.count)
        return Compression(index, places(index, tokens.layout.count).gather(1, _first(merges, tokens.layout)))

    def published(self, tokens: Tokens) -> Compression:
        """The first tokens of all chains, with their means."""
        merges = self._similar(tokens) >= self.threshold
        index = (~merges)[0].nonzero().T
        return Compression(index, places(index, tokens.layout.count).gather(1, _first(merges, tokens.layout)))

    def _similar(self, tokens: Tokens) -> torch.Tensor:
        """(B, N) cosine with the same place one frame before, -inf in the first frame."""
        clip = by_frame(tokens.features, tokens.layout)
        return temporal_runs(clip, threshold=self.threshold).similarity.flatten(1)


def _first(merges: torch.Tensor, layout: Layout) -> torch.Tensor:
    """(B, N) int64, the token with which the chain of each begins."""
    import torch

    frames, positions = frame_shape(layout)
    start = run_starts(merges.reshape(-1, frames, positions).mT).mT.flatten(1)
    return start * positions + torch.arange(positions, device=merges.device).repeat(frames)
