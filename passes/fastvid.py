"""FastVID: segments of like frames, salient tokens by attention, and density anchors that collect their segment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.polynomial import BATCH, TOKENS, as_polynomial
from ..ir.signal import Need, received
from ..kernels.density_peaks import density_peaks
from .base import Compression, Pass, Tokens, register
from .primitives.anchors import anchor_joins, blended
from .primitives.budget import share_top_k
from .primitives.costs import attention_column_op, merge_op, similarity_op, top_k_op
from .primitives.frames import by_frame, frame_shape, ranks
from .primitives.merge import gather, mixed, places
from .primitives.segments import cut_segments, segment_first, segment_sizes
from .primitives.select import ranked, top_k

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class FastVID(Pass):
    """Dynamic segments and density-based merging (arXiv:2503.11187; the public code).

    Segments (DySeg) are cut between frames whose mean features have a cosine below `threshold`, and at the
    `segments` - 1 lowest cosines. The 1 - `density` share of each frame's budget goes to its tokens with most attention
    in the tower (STPrune). The rest of a segment's budget goes to anchors in every `every`-th of its frames, counted
    from its end: the tokens with the highest density times distance to a denser one among the frame's other tokens.
    For each anchor frame, all tokens of the segment that are not salient join its most similar anchor, which becomes
    beta times itself plus 1 - beta times the mean of what joined, itself included; beta is 1 / (joined + 1), at least
    `blend`.

    Signals: frame means stand for the global features, as in the public code for towers without a pooling head, and the
    attention received by a token, averaged over heads and queries, is the attention. Exact count: the salient tokens
    are as many in each frame; the anchor frames share what is left of K in proportion to the frames that they stand
    for, rounded by the divisor that leaves K (Webster).
    """

    name = "fastvid"
    source = "arXiv:2503.11187"
    summary = "keep each frame's attended tokens, and dense anchors that collect their segment"
    mechanism = "mixed"
    modalities = ("video",)
    sites = ("projector.output",)
    consumes = ("temporal", "feature", "attention")
    catalog_id = "fastvid"
    needs_grid = True

    segments: int = 8
    threshold: float = 0.9
    density: float = 0.4
    every: int = 4
    blend: float = 0.6
    neighbours: int = 4
    layer: int | None = None

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The attention received in the encoder layer."""
        return (received("encoder", self.layer),)

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """The attention of all queries, distances within frames, all similarities within segments, and the merge."""
        frames, positions = frame_shape(layout)
        inside = positions * BATCH * TOKENS
        peaks = Op("peaks", "gemm", flops=2 * width * inside, elements=inside, launches=as_polynomial(12), inner=width)
        across = similarity_op(width, pairs=BATCH * TOKENS * TOKENS, launches=12 * frames)
        return attention_column_op(width), peaks, top_k_op(), top_k_op(), across, merge_op(width)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """Salient tokens and blended anchors, in order of position."""
        import torch

        layout, batch = tokens.layout, len(tokens.features)
        frames, positions = frame_shape(layout)
        if target.count == layout.count:
            return Compression(torch.arange(target.count, device=tokens.features.device).expand(batch, -1))
        each = target.count // frames
        number = each - int(each * self.density)
        attention = by_frame(tokens.signal(received("encoder", self.layer)), layout).flatten(0, 1)
        salient = torch.zeros_like(attention, dtype=torch.bool).scatter(1, ranked(attention)[:, :number], True)
        clip = by_frame(tokens.features, layout)
        segment = self._segments(clip)
        scores, group, share = self._candidates(clip, salient, segment, number)
        chosen = share_top_k(scores, group, share, target.count - frames * number)
        salient = salient.view(batch, -1)
        anchors = torch.zeros_like(salient).scatter(1, chosen, True) & ~salient
        index = top_k((salient | anchors).float(), target.count)
        spans = segment.repeat_interleave(positions, dim=1)
        joins = anchor_joins(clip.flatten(1, 2), index, anchors, ~salient, spans, frames)
        joined = joins.sum(dim=2, keepdim=True)
        weight = blended(joins, index, (1 / (joined + 1)).clamp(min=self.blend))
        assign = joins.to(torch.uint8).argmax(dim=1).where(joins.any(dim=1), torch.full_like(spans, -1))
        return Compression(
            index,
            assign.scatter(1, index, places(index, layout.count).gather(1, index)),
            combine=partial(mixed, weight=weight),
        )

    def _segments(self, clip: torch.Tensor) -> torch.Tensor:
        """(B, T) segment of each frame."""
        from torch.nn.functional import normalize

        means = normalize(clip.float().mean(dim=2), dim=-1)
        similar = (means[:, 1:] * means[:, :-1]).sum(dim=-1)
        return cut_segments((similar < self.threshold) | (ranks(-similar) < self.segments - 1))

    def _candidates(
        self, clip: torch.Tensor, salient: torch.Tensor, segment: torch.Tensor, number: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of anchors: each token's score (B, N), the anchor frame that it is in or -1 (B, N), frames' shares (B, T)."""
        import torch

        batch, frames, positions, _ = clip.shape
        rest = salient.to(torch.uint8).argsort(dim=1, stable=True)[:, : positions - number]
        density, gap = density_peaks(gather(clip.flatten(0, 1), rest), neighbours=self.neighbours)
        scores = torch.zeros(salient.shape, device=clip.device).scatter(1, rest, density * gap).view(batch, -1)
        sizes = segment_sizes(segment)
        frame = torch.arange(frames, device=clip.device).expand_as(segment)
        anchored = (segment_first(segment) + sizes - 1 - frame) % self.every == 0
        group = frame.masked_fill(~anchored, -1).repeat_interleave(positions, dim=1)
        share = sizes / ((sizes + self.every - 1) // self.every)
        return scores, group.masked_fill(salient.view(batch, -1), -1), share
