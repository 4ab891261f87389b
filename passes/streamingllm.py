"""StreamingLLM: the first few entries, which serve as attention sinks, and a window of the latest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .base import register
from .cache_base import CachedTokens, CachePass
from .primitives.entries import stretches

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class StreamingLLM(CachePass):
    """Keep `sinks` first entries and the latest, renumbered without a gap (arXiv:2309.17453, section 3.2).

    Positions are those inside the cache: with `reindex` the keys before a gap are turned forward by its width, which
    equals the published renumbering because rotary attention sees only distances. `reindex` off keeps the original
    positions, as every other method does, and is the only choice under multi-dimensional rotary positions. With scope
    `all` the window slides while decoding; with scope `media` each medium keeps its first and its last tokens.
    """

    name = "streamingllm"
    source = "arXiv:2309.17453"
    summary = "keep the first cache entries and the latest, renumbered without a gap"
    mechanism = "attention"
    catalog_id = "streamingllm"
    interval = 1
    reindexes = True

    sinks: int = 4
    reindex: bool = True

    def on_prefill(self, tokens: CachedTokens, count: int) -> torch.Tensor:
        """The first and the last entries."""
        return stretches(tokens.keys, count, first=self.sinks)
