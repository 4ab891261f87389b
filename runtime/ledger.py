"""The ledger: what a running sequence was for its caller, and what the decoder's layers hold of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from ..common.errors import BadInput
from .cache.entries import Entries

ATTRIBUTE = "foveate_ledger"


@dataclass
class Level:
    """The sequence as the decoder's layers see it from `layer` on.

    Attributes:
        layer: first layer of the level; 0 is the decoder's input.
        index: (B, P) int64, position of each token in the sequence that the caller knows.
        columns: (B, P) int64, position of each token in the sequence that enters the decoder (equal to `index` where
            the level is the decoder's input).
        valid: (B, P) bool, False where a row was filled up; None where every row is full.
        sizes: (B, P) float32, how many tokens attention takes each one for; None where each counts once.
    """

    layer: int
    index: torch.Tensor
    columns: torch.Tensor
    valid: torch.Tensor | None = None
    sizes: torch.Tensor | None = None

    @property
    def length(self) -> int:
        """Tokens of the level, filling included."""
        return self.index.shape[1]

    def extended(
        self,
        index: torch.Tensor,
        columns: torch.Tensor,
        valid: torch.Tensor | None,
        sizes: torch.Tensor | None = None,
    ) -> Level:
        """The level after more tokens."""
        return Level(
            self.layer,
            torch.cat([self.index, index], dim=1),
            torch.cat([self.columns, columns], dim=1),
            _joined(self.valid, valid, self.index, index, dtype=torch.bool),
            _joined(self.sizes, sizes, self.index, index, dtype=torch.float32),
        )

    def rows(self, order: torch.Tensor) -> Level:
        """The level with its batch rows selected or reordered."""
        valid = None if self.valid is None else self.valid[order]
        sizes = None if self.sizes is None else self.sizes[order]
        return Level(self.layer, self.index[order], self.columns[order], valid, sizes)

    def cropped(self, count: int) -> Level:
        """The level without its last `count` tokens."""
        valid = None if self.valid is None else self.valid[:, :-count]
        sizes = None if self.sizes is None else self.sizes[:, :-count]
        return Level(self.layer, self.index[:, :-count], self.columns[:, :-count], valid, sizes)


@dataclass
class Ledger:
    """One running sequence: its logical length and its levels, by first layer.

    `inside` is set while the decoder runs: then the cache answers with physical lengths, else with logical ones.
    `compressed` is the logical length up to which tokens were dropped; nothing before it can be cropped. `held` says,
    by layer, which entries are left where some were evicted from the cache.
    """

    logical: int = 0
    levels: dict[int, Level] = field(default_factory=dict)
    inside: bool = False
    compressed: int = 0
    held: dict[int, Entries] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Whether the layers hold anything but the sequence as its caller knows it."""
        return bool(self.levels or self.held)

    def entering(self) -> int:
        """Tokens that have entered the decoder so far."""
        return self.levels[0].length if 0 in self.levels else self.logical

    def reorder(self, order: torch.Tensor) -> None:
        """Follow the batch rows of the cache."""
        self.levels = {layer: level.rows(order.to(level.index.device)) for layer, level in self.levels.items()}
        self.held = {layer: entries.rows(order.to(entries.index.device)) for layer, entries in self.held.items()}

    def crop(self, count: int) -> None:
        """Follow a cache that forgets its last `count` tokens.

        Raises:
            BadInput: the tokens to forget reach back into the compressed prompt.
        """
        if self.logical - count < self.compressed:
            raise BadInput("the cache cannot be cropped into the compressed prompt; start a new cache instead")
        self.logical -= count
        self.levels = {layer: level.cropped(count) for layer, level in self.levels.items()}


def ledger_of(cache: Any) -> Ledger | None:
    """The ledger that a cache carries, or None."""
    return getattr(cache, ATTRIBUTE, None)


def attach(cache: Any, ledger: Ledger) -> None:
    """Put `ledger` on `cache`, which from then on reports the logical length to its callers."""
    if ledger_of(cache) is None:
        base = type(cache)
        cache.__class__ = _CLASSES.setdefault(base, _CLASSES.get(base) or _ledgered(base))
    setattr(cache, ATTRIBUTE, ledger)


def require_supported(cache: Any) -> None:
    """Refuse a cache whose layers neither grow, slide nor have a fixed room; they may be quantised or offloaded.

    Raises:
        BadInput: with the class and what to use instead.
    """
    from transformers import cache_utils as caches

    layers = getattr(cache, "layers", None) or ()
    known: tuple[type, ...] = (caches.DynamicLayer, caches.DynamicSlidingWindowLayer)
    known += (caches.StaticLayer, caches.StaticSlidingWindowLayer)
    quantised = caches.BaseQuantizedLayer
    fits = all(type(layer) in known or isinstance(layer, quantised) for layer in layers)
    if not isinstance(cache, (caches.DynamicCache, caches.StaticCache, caches.QuantizedCache)) or not fits:
        raise BadInput(f"a plan cannot run on a cache of {_kinds(cache)}; use DynamicCache, the default")


def require_evictable(cache: Any) -> None:
    """Refuse a cache whose entries cannot be evicted one by one.

    Raises:
        BadInput: its room is fixed, so that evicting saves nothing; it is quantised in groups of entries; or it lies in
            another memory.
    """
    from transformers import cache_utils as caches

    known = (caches.DynamicLayer, caches.DynamicSlidingWindowLayer)
    if any(type(layer) not in known for layer in cache.layers):
        raise BadInput(
            f"passes at decoder.cache evict entries, and those of {_kinds(cache)} cannot go one by one: a static cache "
            "keeps its room whatever is evicted, and a quantised one packs entries; use DynamicCache, the default"
        )
    if cache.offloading:
        raise BadInput("passes at decoder.cache cannot reach an offloaded cache; use DynamicCache without offloading")


def _kinds(cache: Any) -> str:
    """The names of its layers' classes, or of its own."""
    layers = getattr(cache, "layers", None) or [cache]
    return ", ".join(sorted({type(layer).__name__ for layer in layers}))


_CLASSES: dict[type, type] = {}


def _ledgered(base: Any) -> type:
    """A subclass of a cache class whose length is the logical one outside the decoder."""

    class LedgeredCache(base):  # type: ignore[misc]
        def get_seq_length(self, layer_idx: int = 0) -> int:
            ledger = ledger_of(self)
            return super().get_seq_length(layer_idx) if ledger is None or ledger.inside else ledger.logical

        def get_query_offset(self, layer_idx: int = 0) -> int:
            return self.get_seq_length(layer_idx)

        def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
            ledger = ledger_of(self)
            if ledger is None or ledger.inside:
                return super().get_mask_sizes(query_length, layer_idx)  # type: ignore[no-any-return]
            room = max((getattr(layer, "max_cache_len", 0) for layer in self.layers), default=0)
            return max(room, ledger.logical + query_length), 0

        def update(self, *args: Any, **kwargs: Any) -> Any:
            if self.foveate_ledger.active and not self.foveate_ledger.inside:
                raise BadInput("this cache was filled under a plan that is no longer applied; apply the plan to go on")
            return super().update(*args, **kwargs)

        def reorder_cache(self, beam_idx: torch.Tensor) -> None:
            super().reorder_cache(beam_idx)
            self.foveate_ledger.reorder(beam_idx)

        def batch_select_indices(self, indices: torch.Tensor) -> None:
            super().batch_select_indices(indices)
            self.foveate_ledger.reorder(indices)

        def batch_repeat_interleave(self, repeats: int) -> None:
            ledger: Ledger = self.foveate_ledger
            indices = [level.index for level in ledger.levels.values()]
            indices += [entries.index for entries in ledger.held.values()]
            rows = indices[0].shape[0] if indices else 0
            super().batch_repeat_interleave(repeats)
            self.foveate_ledger.reorder(torch.arange(rows).repeat_interleave(repeats))

        def crop(self, tokens_to_remove: int) -> None:
            self.foveate_ledger.crop(abs(tokens_to_remove))
            super().crop(tokens_to_remove)

        def reset(self) -> None:
            super().reset()
            self.foveate_ledger = Ledger()

    LedgeredCache.__name__ = LedgeredCache.__qualname__ = base.__name__
    return LedgeredCache


def _joined(
    first: torch.Tensor | None,
    second: torch.Tensor | None,
    like_first: torch.Tensor,
    like_second: torch.Tensor,
    *,
    dtype: torch.dtype,
) -> torch.Tensor | None:
    if first is None and second is None:
        return None
    first = torch.ones_like(like_first, dtype=dtype) if first is None else first
    second = torch.ones_like(like_second, dtype=dtype) if second is None else second
    return torch.cat([first, second], dim=1)
