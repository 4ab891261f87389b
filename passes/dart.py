"""DART: what resembles a few pivot tokens least is no duplicate and stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.polynomial import ROWS, as_polynomial
from ..ir.signal import Need, decoder_key, state
from ..kernels.pivot import least_similar
from .base import Compression, Pass, Tokens, register
from .primitives.costs import row_ops, top_k_op
from .primitives.merge import gather
from .primitives.select import ranked

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class DART(Pass):
    """Pivots by key norm, then the tokens least similar to each pivot (arXiv:2502.11494; the public code).

    Pivots are the `media_pivots` media tokens and the `text_pivots` text tokens after them whose keys, in the layer
    before the site, have the largest L1 norm. For each pivot in turn, the tokens not yet taken with the lowest cosine
    to it are taken, equally many for each; cosines are of hidden states at the site after the final norm. The media
    pivots stay too. The public code goes through the pivots in the order of a Python set; here media pivots come first,
    each kind by falling norm. Its budget is rounded down to a multiple of the pivots; here the first pivots take the
    remainder, so that exactly K stay. Published at layer 2; its public code passes over text as here.
    """

    name = "dart"
    source = "arXiv:2502.11494"
    summary = "keep a few pivot tokens and what is least similar to each of them"
    mechanism = "similarity"
    modalities = ("image", "video")
    sites = ("decoder.layer",)
    consumes = ("feature",)
    query_aware = True
    catalog_id = "dart"

    media_pivots: int = 4
    text_pivots: int = 4

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """Keys of the layer before and normed hidden states, of the media tokens and, with text pivots, of the text."""
        media = decoder_key(), state("media")
        return media if self.text_pivots == 0 else (*media, decoder_key(of="text"), state("text"))

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Norms once, then for each pivot one product with all tokens and a ranking."""
        pivots = self.media_pivots + self.text_pivots
        launches = as_polynomial(8 * pivots)
        steps = Op("pivots", "reduction", flops=2 * pivots * width * ROWS, elements=width * ROWS, launches=launches)
        return row_ops("norms", width, launches=8), steps, top_k_op()

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """Media pivots and what is least similar to the pivots, in order of position."""
        import torch

        media = tokens.signal(state("media"))
        own = ranked(_l1(tokens.signal(decoder_key())))[:, : min(self.media_pivots, target.count)]
        pivots = gather(media, own)
        if self.text_pivots:
            text = _text_pivots(_l1(tokens.signal(decoder_key(of="text"))), self.text_pivots)
            pivots = torch.cat([pivots, gather(tokens.signal(state("text")), text)], dim=1)
        taken = torch.zeros(media.shape[:2], dtype=torch.bool, device=media.device).scatter(1, own, True)
        others = least_similar(media, pivots, count=target.count - own.shape[1], taken=taken)
        return Compression(torch.cat([own, others], dim=1).sort(dim=-1).values)


def _l1(keys: torch.Tensor) -> torch.Tensor:
    """L1 norms of keys (B, N, heads, width) over all heads, (B, N)."""
    return keys.float().abs().sum(dim=(2, 3))


def _text_pivots(norms: torch.Tensor, number: int) -> torch.Tensor:
    """Indices of the highest norms (B, T), (B, up to `number`); where a row has fewer texts, its first again."""
    order = ranked(norms)[:, :number]
    return order.where(norms.gather(1, order) > 0, order[:, :1])
