"""KNorm: keys of small L2 norm receive much attention, so they stay; no attention is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from .base import register
from .cache_base import CachedTokens, CachePass
from .primitives.costs import row_ops
from .primitives.select import top_k

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class KNorm(CachePass):
    """Keep the entries whose keys have the smallest L2 norm, in each head (arXiv:2406.11430, section 3).

    The first `skipped` layers keep everything, as the paper does with its first two; `keep` is of the others. The norm
    does not depend on the rotary embedding, which only turns a key.
    """

    name = "knorm"
    source = "arXiv:2406.11430"
    summary = "keep the cache entries whose keys have the smallest norm"
    mechanism = "similarity"
    catalog_id = "knorm"

    skipped: int = 2

    def layer_count(self, tokens: int, keep: float, *, layer: int, depth: int) -> int:
        """Everything in the skipped layers."""
        return super().layer_count(tokens, 1.0 if layer < self.skipped else keep, layer=layer, depth=depth)

    def score_ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """One norm of each key."""
        return (row_ops("key_norms", max(1, width // 2), launches=2),)

    def on_prefill(self, tokens: CachedTokens, count: int) -> torch.Tensor:
        """The smallest norms."""
        return top_k(-tokens.keys.float().norm(dim=-1), count)
