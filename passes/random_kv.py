"""Random eviction of cache entries, the baseline that many designed methods fail to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..common.seeds import generator, sub_seed
from .base import register
from .cache_base import CachedTokens, CachePass
from .primitives.select import top_k

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class RandomKV(CachePass):
    """Keep a uniformly random subset, another one in each layer and head, the same in every row of a batch.

    The baseline of arXiv:2505.19147 (appendix B): with scope `all` entries are evicted down to the budget each time
    `every` tokens have joined it.
    """

    name = "random-kv"
    source = "baseline"
    summary = "keep a uniformly random subset of the cache entries"
    mechanism = "similarity"
    consumes = ("feature",)
    catalog_id = "random-kv"

    every: int = 512
    seed: int = 0

    def evicting_after(self) -> int | None:
        """`every` tokens, with scope `all`."""
        return self.every if self.scope == "all" else None

    def on_prefill(self, tokens: CachedTokens, count: int) -> torch.Tensor:
        """Entries drawn from the plan's seed and the call's."""
        import torch

        rows, heads, total = tokens.keys.shape[:3]
        draws = torch.rand(heads, total, generator=generator(sub_seed(self.seed, tokens.seed, tokens.layer)))
        return top_k(draws.to(tokens.keys.device).expand(rows, heads, total), count)
