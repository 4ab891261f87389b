"""PruneVid before the decoder: segments of like frames, static tokens merged over time, then clusters in space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.polynomial import BATCH, TOKENS, as_polynomial
from ..kernels.density_peaks import density_peaks
from .adaptive import AdaptivePass
from .base import Compression, Tokens, register
from .primitives.anchors import blended
from .primitives.costs import merge_op, row_ops, top_k_op
from .primitives.frames import by_frame, frame_shape
from .primitives.merge import mixed
from .primitives.segments import mean_pair_cosine, refined_segments
from .primitives.select import ranked
from .primitives.static_tokens import StaticTokens

if TYPE_CHECKING:
    import torch


_WHOLE = 14
"""Groups of no more tokens than this stay as they are in the public code."""


@register
@dataclass(frozen=True)
class PruneVidMerging(AdaptivePass):
    """PruneVid's spatial-temporal merging (arXiv:2412.16117; the public code).

    Frames are clustered by density peaks on their mean features into `segments` times as many clusters, made into
    segments by `refined_segments`. Places whose mean cosine over all pairs of a segment's frames is above `threshold`
    are static and kept once, as their mean over time. The static tokens of each segment and the moving ones of each
    frame are clustered by density peaks with `neighbours` neighbours; means of clusters go on, at their centres.

    A named variant: the selection by the text's attention at decoder layer 10 is a placement of its own and no part.
    Exact count: the public code leaves `ratio` of each group of more than 14 tokens, rounded down, and smaller groups
    as they are; here all groups are reduced by the ratio that leaves K, counts rounded by one divisor (Webster).
    `adaptive` takes the public code's counts.
    """

    name = "prunevid-merging"
    source = "arXiv:2412.16117"
    summary = "merge what is static over segments of frames, then cluster tokens in space"
    mechanism = "similarity"
    modalities = ("video",)
    consumes = ("temporal", "feature", "spatial")
    catalog_id = "prunevid"
    needs_grid = True

    threshold: float = 0.8
    segments: float = 0.25
    neighbours: int = 7
    ratio: float = 0.5

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Sums over time, a step for each frame, distances within frames, two rankings and the merge."""
        frames, positions = frame_shape(layout)
        inside = positions * BATCH * TOKENS
        steps = Op("segments", "reduction", elements=frames * BATCH * TOKENS, launches=as_polynomial(12 * frames + 30))
        peaks = Op("peaks", "gemm", flops=2 * width * inside, elements=inside, launches=as_polynomial(24), inner=width)
        return row_ops("temporal_cosine", width, launches=8), steps, peaks, top_k_op(), top_k_op(), merge_op(width)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """The means of clusters."""
        import torch

        total = tokens.layout.count
        if target.count == total:
            return Compression(torch.arange(total, device=tokens.features.device).expand(len(tokens.features), -1))
        return self._clustered(tokens, self._parted(tokens), target.count)

    def published(self, tokens: Tokens) -> Compression:
        """The means of clusters, as many in each group as in the public code."""
        parted = self._parted(tokens)
        sizes = parted.sizes(tokens.layout)
        counts = (sizes.double() * self.ratio).floor().float().where(sizes > _WHOLE, sizes)
        return self._clustered(tokens, parted, int(counts.sum()), share=counts)

    def _parted(self, tokens: Tokens) -> StaticTokens:
        """The clip's static and moving tokens."""
        from torch.nn.functional import normalize

        clip = by_frame(tokens.features, tokens.layout).float()
        segment = refined_segments(self._frame_clusters(clip.mean(dim=2)))
        static = mean_pair_cosine(normalize(clip, dim=-1), segment) > self.threshold
        return StaticTokens.of(tokens.features, tokens.layout, static, segment)

    def _clustered(
        self, tokens: Tokens, parted: StaticTokens, count: int, *, share: torch.Tensor | None = None
    ) -> Compression:
        """The means of `count` clusters, shared among the groups by `share`."""
        index, joins = parted.selected(tokens.layout, count, neighbours=self.neighbours, share=share)
        own = 1 / (joins.sum(dim=2, keepdim=True) + 1)
        weight = parted.spread(index, blended(joins, index, own))
        return Compression(index, parted.assigned(index, joins), combine=partial(mixed, weight=weight))

    def _frame_clusters(self, means: torch.Tensor) -> torch.Tensor:
        """(B, T) int64 cluster of each frame."""
        import torch

        number = max(1, int(means.shape[1] * self.segments))
        density, gap = density_peaks(means, neighbours=self.neighbours)
        centres = ranked(density * gap)[:, :number]
        chosen = means.gather(1, centres[..., None].expand(-1, -1, means.shape[-1]))
        nearest = torch.cdist(means, chosen, compute_mode="donot_use_mm_for_euclid_dist").argmin(dim=-1)
        own = torch.arange(number, device=means.device).expand_as(centres)
        return nearest.scatter(1, centres, own)
