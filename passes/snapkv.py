"""SnapKV: what the last prompt tokens attend to, smoothed along the sequence, is what the answer will need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from .base import register
from .cache_base import CachedTokens, CachePass, Observed, observation_op
from .primitives.entries import best_and_last

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class SnapKV(CachePass):
    """Votes of an observation window, pooled (arXiv:2404.14469, section 4 and listing 1).

    The attention that each entry receives from the last `window` prompt tokens is summed over them, averaged over the
    query heads that share a key-value head (the public code lets each query head vote for a copy of its own), and
    average-pooled along the sequence with an odd `kernel`; the highest stay in each head. With scope `all` the window
    itself stays and is part of the budget, as in the public code; with scope `media` it is text that stays anyway.
    Nothing is evicted while decoding.
    """

    name = "snapkv"
    source = "arXiv:2404.14469"
    summary = "keep the cache entries that the last prompt tokens attend to, pooled along the sequence"
    mechanism = "attention"
    consumes = ("attention", "task")
    query_aware = True
    catalog_id = "snapkv"

    window: int = 64
    kernel: int = 5

    def observed(self) -> Observed:
        """The queries of the observation window."""
        return self.window

    def score_ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """The window's attention rows."""
        return (observation_op(width, self.window),)

    def on_prefill(self, tokens: CachedTokens, count: int) -> torch.Tensor:
        """The entries with the highest pooled votes, and with scope `all` the window."""
        import torch

        votes = tokens.attention_by_head()
        window = min(self.window, count, tokens.count) if self.scope == "all" else 0
        before = votes[..., : tokens.count - window]
        if before.shape[-1]:
            before = torch.nn.functional.avg_pool1d(before, self.kernel, stride=1, padding=self.kernel // 2)
        return best_and_last(torch.cat([before, votes[..., tokens.count - window :]], dim=-1), count, last=window)
