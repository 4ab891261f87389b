"""The contract of a key-value cache pass: which entries each layer and head goes on holding after the prefill."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ..common.errors import BadInput
from ..ir.layout import Layout, kept_count
from ..ir.op import Op
from ..ir.polynomial import BATCH, CONTEXT, ROWS, as_polynomial
from .base import Compression, Pass, Tokens
from .primitives.costs import top_k_op

if TYPE_CHECKING:
    import torch

SCOPES = ("media", "all")
Observed = int | Literal["all"]


@dataclass(frozen=True)
class CachedTokens:
    """The entries of one layer that a pass may let go, one row per medium (scope `media`) or sequence (`all`).

    Attributes:
        keys: (R, G, N, D), rotary embedding included. values: (R, G, N, E). G is the number of key-value heads.
        attention: (R, H, N) float32, the attention that each entry has received from the observed queries, summed over
            them, H a multiple of G (query head h reads key-value head h // (H / G)); None where none is observed.
        layer, depth: place of the layer among those that are compressed, and how many they are.
        seed: seed of this layer and this point of the sequence.
    """

    keys: torch.Tensor
    values: torch.Tensor
    attention: torch.Tensor | None
    layer: int
    depth: int
    seed: int = 0

    @property
    def count(self) -> int:
        """N."""
        return self.keys.shape[2]

    def attention_by_head(self) -> torch.Tensor:
        """(R, G, N) attention received, the mean over the query heads that share a key-value head.

        Raises:
            BadInput: the pass observes no queries.
        """
        if self.attention is None:
            raise BadInput("a cache pass read attention without observing queries; return a number from observed()")
        rows, heads = self.keys.shape[:2]
        return self.attention.reshape(rows, heads, -1, self.count).mean(dim=2)


@dataclass(frozen=True)
class CachePass(Pass):
    """A method that evicts entries of the key-value cache after the prefill, for each layer and key-value head.

    `scope` is what it may evict: `media` (the default) only the tokens of images, clips and sounds, so that text is
    never removed; `all` every token of the prompt, as such methods are published, one budget for the whole sequence.
    `interval`: with scope `all` the budget is held while decoding: as soon as that many tokens have joined a full
    cache, entries are evicted down to the budget; None never evicts later. Layers with a sliding or chunked window
    are left alone, since they hold a bounded number of entries already. `reindexes`: what it keeps is renumbered.
    """

    sites: ClassVar[tuple[str, ...]] = ("decoder.cache",)
    consumes: ClassVar[tuple[str, ...]] = ("attention",)
    interval: ClassVar[int | None] = None
    reindexes: ClassVar[bool] = False

    scope: str = "media"

    def __post_init__(self) -> None:
        if self.scope not in SCOPES:
            raise BadInput(f"scope of {self.name} is {self.scope!r}; write media or all")

    def layer_count(self, tokens: int, keep: float, *, layer: int, depth: int) -> int:
        """Entries that layer `layer` of `depth` keeps of `tokens` in each head; a pure function of its arguments."""
        return kept_count(tokens, keep)

    def observed(self) -> Observed:
        """How many of the last prompt queries are observed: a number, 0 for none, or `all`."""
        return 0

    @abstractmethod
    def on_prefill(self, tokens: CachedTokens, count: int) -> torch.Tensor:
        """The entries that stay: (R, G, count) int64, sorted and unique in each head."""

    def on_decode(self, tokens: CachedTokens, count: int) -> torch.Tensor:
        """The same while decoding, where `tokens` are all entries and attention has gone on being summed up."""
        return self.on_prefill(tokens, count)

    def evicting_after(self) -> int | None:
        """How many tokens may join a full cache before `on_decode` is asked; None never asks."""
        return self.interval if self.scope == "all" else None

    def score_ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """What the scores of one layer cost."""
        return ()

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """The cost in one layer: scores, ranking, and moving the entries that stay; `width` is of keys and values."""
        return (*self.score_ops(layout, width), top_k_op(), move_op(width))

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """Not for this site: a cache pass is asked by layer and head.

        Raises:
            BadInput: always.
        """
        raise BadInput(f"{self.name} evicts cache entries; place it at decoder.cache")


def move_op(width: int) -> Op:
    """Finding the entries that stay in every head, then one gather of their keys and values."""
    elements = 4 * ROWS + 2 * width * BATCH * CONTEXT
    return Op("cache.gather", "gather", flops=ROWS, elements=elements, launches=as_polynomial(8))


def observation_op(width: int, queries: int) -> Op:
    """Attention rows of `queries` over N entries of one layer, summed up."""
    work = 2 * queries * max(1, width // 2) * ROWS
    return Op("observed", "attention", flops=work, elements=width * ROWS + 3 * queries * ROWS, inner=64, outer=1)
