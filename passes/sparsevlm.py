"""SparseVLM: text tokens that concern the picture rate its tokens; the best rejects are recycled into clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.polynomial import BATCH, TOKENS, as_polynomial
from ..ir.signal import Need, embedding, text_rows
from ..kernels.density_peaks import density_peaks
from .base import Compression, Pass, Tokens, register
from .primitives.costs import attention_row_op, merge_op, top_k_op
from .primitives.merge import gather, places
from .primitives.select import complement, ranked, top_k

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class SparseVLM(Pass):
    """One stage of SparseVLM with its recycling (arXiv:2410.04417; version 1.0 of the public code).

    Raters: at the decoder's input each media token shares one softmax over the text tokens' dot products; text tokens
    whose mean share is above the average are raters. A media token's rating is the raters' mean attention to it in the
    layer before the site, averaged over heads. The highest ratings stay; of the others the best `recycled` share is
    clustered by density peaks (as many neighbours as clusters) into about a `per_cluster`-th, which go on as means.

    Exact count: kept tokens and clusters together are K, split so that the clusters are what the code makes of the
    rejects; where K is below the number of clusters none are made. Published after layers 2, 6 and 15, which are the
    sites `decoder.layers.3`, `.7` and `.16` of one `group`. Clusters stand at their centres, not after the last token,
    and positions stay. Where no text token is above the average all of them rate.
    """

    name = "sparsevlm"
    source = "arXiv:2410.04417"
    summary = "keep what the relevant text tokens attend to, and clusters of the best rejects"
    mechanism = "query"
    modalities = ("image", "video")
    sites = ("decoder.layer",)
    consumes = ("attention", "task")
    query_aware = True
    catalog_id = "sparsevlm"

    recycled: float = 0.3
    per_cluster: int = 10

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """Embeddings of media and text at the decoder's input, and the text's rows in the layer before."""
        return embedding("media"), embedding("text"), text_rows()

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Products with 32 text tokens, their rows, and the clustering of the recycled tokens."""
        share = max(1, round(1 / self.recycled**2))
        recycled = max(1, 2 * width // share) * BATCH * TOKENS * TOKENS
        clusters = Op("clusters", "gemm", flops=recycled, elements=recycled, launches=as_polynomial(30), inner=width)
        row = attention_row_op(32 * width)
        return row, Op("raters", "gemm", flops=row.flops, elements=row.elements), top_k_op(), clusters, merge_op(width)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """The best rated tokens, and the means of clusters of the next best."""
        import torch

        total = tokens.layout.count
        number, clusters, pool = self.split(total, target.count)
        rating = self.rating(tokens)
        kept = top_k(rating, number)
        if clusters == 0:
            return Compression(kept)
        rest = complement(kept, total)
        best = rest.gather(1, ranked(rating.gather(1, rest))[:, :pool])
        features = gather(tokens.features, best)
        density, gap = density_peaks(features, neighbours=clusters)
        centres = ranked(density * gap)[:, :clusters]
        nearest = torch.cdist(gather(features, centres).float(), features.float()).argmin(dim=1)
        index = torch.cat([kept, best.gather(1, centres)], dim=1).sort(dim=-1).values
        place = places(index, total)
        joined = place.gather(1, best.gather(1, centres)).gather(1, nearest)
        assign = place.scatter(1, best, joined).scatter(1, index, place.gather(1, index))
        return Compression(index, assign)

    def rating(self, tokens: Tokens) -> torch.Tensor:
        """The raters' mean attention to each media token, (B, N)."""
        media, text = tokens.signal(embedding("media")).float(), tokens.signal(embedding("text")).float()
        rows = tokens.signal(text_rows())
        present = (text != 0).any(dim=-1)
        products = (media @ text.mT).masked_fill(~present[:, None], float("-inf"))
        share = products.softmax(dim=-1).nan_to_num(0.0).mean(dim=1)
        average = share.sum(dim=1) / present.sum(dim=1).clamp(min=1)
        raters = (share > average[:, None]) & present
        raters = raters.where(raters.any(dim=1, keepdim=True), present).float()
        return (raters[:, None] @ rows)[:, 0] / raters.sum(dim=1).clamp(min=1)[:, None]

    def split(self, total: int, count: int) -> tuple[int, int, int]:
        """How many tokens are kept and how many clusters are made of how many rejects, K in all.

        Example:
            >>> SparseVLM().split(576, 309)
            (300, 9, 83)
        """
        for kept in range(count if count < total else 0, 0, -1):
            pool = min(int((total - kept) * self.recycled) + 1, total - kept)
            clusters = min(int(pool / self.per_cluster) + 1, pool)
            if kept + clusters <= count:
                return kept, count - kept, pool
        return count, 0, 0
