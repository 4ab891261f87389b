"""PACT without proportional attention: drop what matters little to the mean query, cluster the rest by keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.polynomial import BATCH, TOKENS
from ..ir.signal import Need, decoder_key, mean_query_row
from .adaptive import AdaptivePass
from .base import Compression, Tokens, register
from .primitives.bounded_density import opened_centres
from .primitives.costs import attention_row_op, merge_op, preview_op, similarity_op, top_k_op
from .primitives.merge import gather, places
from .primitives.select import ranked, top_k

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class PACTUnweighted(AdaptivePass):
    """EUTI pruning, then DBDPC clustering that recovers pruned tokens (arXiv:2504.08966; the public code).

    EUTI: the softmax row of the mean query over all tokens up to the medium's end, before the rotary embedding, times
    the L2 norm of the hidden state; the highest `share` stays. DBDPC: see `opened_centres`, on cosine distances of the
    keys with the rotary embedding. Every token, pruned ones too, joins its nearest centre if within `recovery` *
    `cutoff` of it, and centres go on as means. Queries and keys are those of the layer at the site (4 in the paper).

    Exact count: the first K tokens in this order are centres: those that DBDPC opens, from dense to sparse, then the
    others by falling distance to the nearest centre opened before them, which is the order in which a smaller cutoff
    would open them. Where DBDPC opens K this is the published method, and with `adaptive` K is what it opens. The paper
    also weighs later attention by cluster size, as `pact` does; without that, as the public code's option
    `no_proportional_attention` has it, this is a named variant.
    """

    name = "pact-unweighted"
    source = "arXiv:2504.08966"
    summary = "drop what the mean query ignores, merge the rest into dense key clusters of bounded radius"
    mechanism = "mixed"
    modalities = ("image", "video")
    sites = ("decoder.layer",)
    consumes = ("attention", "feature")
    catalog_id = "pact"

    share: float = 0.55
    cutoff: float = 0.21
    recovery: float = 1.5

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The mean query's row without rotary embedding and the keys with it, of the layer at the site."""
        return mean_query_row(), decoder_key(0)

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """The next layer's q and k with and without rotary embedding, distances, and N greedy steps."""
        pairs = BATCH * TOKENS * TOKENS
        greedy = Op("greedy", "reduction", elements=3 * pairs, launches=4 * TOKENS)
        preview = preview_op(width)
        distance = similarity_op(width, pairs=pairs, launches=10)
        return preview, preview, attention_row_op(width), top_k_op(), distance, greedy, merge_op(width)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """Centres with the means of what joined them."""
        keys = self._keys(tokens)
        order, gap = self._ordered(tokens, keys, target.count)
        rank = gap.masked_fill(gap > self.cutoff, float("inf"))
        return self._joined(keys, order.gather(1, ranked(rank)[:, : target.count]))

    def published(self, tokens: Tokens) -> Compression:
        """The centres that DBDPC opens, with the means of what joined them."""
        keys = self._keys(tokens)
        order, gap = self._ordered(tokens, keys, 1)
        return self._joined(keys, order[gap > self.cutoff][None])

    def _keys(self, tokens: Tokens) -> torch.Tensor:
        """(B, N, D) float32 keys of length 1, all heads as one."""
        from torch.nn.functional import normalize

        return normalize(tokens.signal(decoder_key(0)).float().flatten(2), dim=-1)

    def _ordered(self, tokens: Tokens, keys: torch.Tensor, least: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What EUTI leaves, at least `least` tokens, from dense to sparse, and each one's gap: see `opened_centres`."""
        score = tokens.signal(mean_query_row()) * tokens.features.float().norm(dim=-1)
        kept = top_k(score, max(least, int(tokens.layout.count * self.share)))
        unit = gather(keys, kept)
        distance = (1 - unit @ unit.mT).clamp(min=0)
        distance.diagonal(dim1=-2, dim2=-1).fill_(0)
        order, gap = opened_centres(distance, self.cutoff)
        return kept.gather(1, order), gap

    def _joined(self, keys: torch.Tensor, centres: torch.Tensor) -> Compression:
        """The centres (B, K) in order of position, each with the tokens to which it is the nearest."""
        index = centres.sort(dim=-1).values
        gap, nearest = (1 - keys @ gather(keys, index).mT).min(dim=-1)
        assign = nearest.masked_fill(gap > self.recovery * self.cutoff, -1)
        return Compression(index, assign.scatter(1, index, places(index, keys.shape[1]).gather(1, index)))
