"""HoliTom before the decoder: windows that share most static tokens, then attention and density within them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.polynomial import BATCH, TOKENS, as_polynomial
from ..ir.signal import Need, received
from ..kernels.temporal_runs import temporal_runs
from .base import Compression, Pass, Tokens, register
from .primitives.anchors import blended
from .primitives.costs import attention_column_op, merge_op, row_ops, top_k_op
from .primitives.frames import by_frame, frame_shape
from .primitives.merge import mixed
from .primitives.segments import static_places, static_windows
from .primitives.static_tokens import StaticTokens


@register
@dataclass(frozen=True)
class HoliTomOuter(Pass):
    """HoliTom's merging before the decoder (arXiv:2505.21334; the public code), its "w/o M" form.

    Frames are parted into windows that save most tokens if places whose cosine stays above `threshold` all through a
    window are kept once, as their mean over time. Then all are reduced by one ratio: each frame's other tokens to
    those with most attention in the tower (the default share D = 0 of density there), each window's static ones to
    centres by density peaks, which become `blend` times themselves plus 1 - `blend` times the mean of the static tokens
    nearest to them. Static tokens stand in their window's first frame. The merging at decoder layer 18 is a placement
    of its own and no part.

    Exact count: the ratio is the one that leaves K, counts rounded by one divisor (Webster) where the public code
    rounds up the moving tokens' and to the nearest the static ones'. Attention is that received, averaged over heads
    and queries.
    """

    name = "holitom-outer"
    source = "arXiv:2505.21334"
    summary = "merge what is static over the best windows of frames, then keep attended tokens and static centres"
    mechanism = "mixed"
    modalities = ("video",)
    sites = ("projector.output",)
    consumes = ("temporal", "feature", "attention")
    catalog_id = "holitom"
    needs_grid = True

    threshold: float = 0.8
    blend: float = 0.6
    neighbours: int = 7
    layer: int | None = None

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The attention received in the encoder layer."""
        return (received("encoder", self.layer),)

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """The attention of all queries, cosines over time, a search over windows, distances in frames, the merge."""
        frames, positions = frame_shape(layout)
        inside = positions * BATCH * TOKENS
        windows = Op("windows", "reduction", elements=frames * BATCH * TOKENS, launches=as_polynomial(14 * frames))
        peaks = Op("peaks", "gemm", flops=2 * width * inside, elements=inside, launches=as_polynomial(24), inner=width)
        temporal = row_ops("temporal_cosine", width, launches=8)
        return attention_column_op(width), temporal, windows, peaks, top_k_op(), top_k_op(), merge_op(width)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """Attended moving tokens, and static centres with what is near them."""
        import torch

        clip, total = by_frame(tokens.features, tokens.layout), tokens.layout.count
        attention = tokens.signal(received("encoder", self.layer))
        if target.count == total:
            return Compression(torch.arange(total, device=clip.device).expand(len(clip), -1))
        steady = temporal_runs(clip, threshold=1.0).similarity[:, 1:] > self.threshold
        window = static_windows(steady)
        parted = StaticTokens.of(tokens.features, tokens.layout, static_places(steady, window), window)
        index, joins = parted.selected(
            tokens.layout, target.count, neighbours=self.neighbours, moving=attention, limited=True
        )
        weight = parted.spread(index, blended(joins, index, self.blend))
        return Compression(index, parted.assigned(index, joins), combine=partial(mixed, weight=weight))
