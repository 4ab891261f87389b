"""H2O: the cache keeps the entries that have received the most attention so far, and the latest ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from .base import register
from .cache_base import CachedTokens, CachePass, Observed
from .primitives.costs import attention_column_op
from .primitives.entries import best_and_last

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class H2O(CachePass):
    """Heavy hitters: the highest accumulated attention, in each head (arXiv:2306.14048, section 4 and algorithm 1).

    The score of an entry is the sum of its attention probabilities over all queries so far, averaged here over the
    query heads that share a key-value head. With scope `all` a share `recent` of the budget goes to the latest entries
    (the paper's even split), and while decoding each new token evicts the entry with the lowest score that is not
    among the latest, so that the cache stays as large as it was. With scope `media` the text, which is what is recent,
    stays anyway: the whole budget goes to heavy hitters, and nothing is evicted while decoding.
    """

    name = "h2o"
    source = "arXiv:2306.14048"
    summary = "keep the cache entries with the most attention received, and the latest"
    mechanism = "attention"
    query_aware = True
    catalog_id = "h2o"
    interval = 1

    recent: float = 0.5

    def observed(self) -> Observed:
        """Every query."""
        return "all"

    def score_ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """All attention rows once more, summed up by column."""
        return (attention_column_op(max(1, width // 2)),)

    def on_prefill(self, tokens: CachedTokens, count: int) -> torch.Tensor:
        """The heaviest entries, and with scope `all` the latest."""
        latest = int(self.recent * count) if self.scope == "all" else 0
        return best_and_last(tokens.attention_by_head(), count, last=latest)
