"""Evicting from one layer's cache: what passes choose, the compaction of keys and values, and renumbering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from ...kernels.cache_compaction import compact_cache
from ...passes.cache_base import CachedTokens, CachePass
from ..index_maps import compaction_index
from .candidates import Candidates, taken
from .entries import Entries, fill_mask

if TYPE_CHECKING:
    from ...ir.placement import Placement
    from .rotation import Rotation

Choice = tuple[Candidates, torch.Tensor]
"""Entries that could go, and the slots of those that stay in each head, (R, G, K)."""


@dataclass(frozen=True)
class CacheSite:
    """One placement at `decoder.cache`: its pass, the modalities whose tokens it may evict, and how it renumbers."""

    placement: Placement
    method: CachePass
    modalities: tuple[str, ...]
    rotation: Rotation | None = None

    @property
    def whole(self) -> bool:
        """Whether it may evict every token of the prompt."""
        return self.method.scope == "all"

    @property
    def evicts_later(self) -> bool:
        """Whether it goes on evicting while decoding."""
        return self.placement.keep < 1 and self.method.evicting_after() is not None

    @property
    def takes_padding(self) -> bool:
        """Whether padding goes with what is evicted, so that the budget is the sequence's own."""
        return self.whole and self.placement.keep < 1


@dataclass(frozen=True)
class LayerCache:
    """One layer's cache in one call.

    Attributes:
        storage: the layer of the cache object, whose `keys` and `values` are replaced.
        held: everything in it now. past: what it held after the last eviction, None before the first.
        rank, depth: its place among the layers that are compressed, and how many they are.
    """

    storage: Any
    held: Entries
    past: Entries | None
    rank: int
    depth: int


def choices(
    site: CacheSite, layer: LayerCache, candidates: Sequence[Candidates], *, prefill: bool, forced: bool, seed: int
) -> list[Choice]:
    """What a pass keeps; nothing is chosen where nothing would go. Whole sequences are chosen from together."""
    counts = [_count(site, layer, some, prefill=prefill) for some in candidates]
    goes = [forced or count < some.total for some, count in zip(candidates, counts, strict=True)]
    if site.whole:
        goes = [any(goes)] * len(goes)
    return [
        _choice(site, layer, some, count, prefill=prefill, seed=seed)
        for some, count, acts in zip(candidates, counts, goes, strict=True)
        if acts
    ]


def _count(site: CacheSite, layer: LayerCache, candidates: Candidates, *, prefill: bool) -> int:
    """Entries that stay: the layer's budget of the prompt, which is held from then on."""
    if prefill or layer.past is None:
        return site.method.layer_count(candidates.total, site.placement.keep, layer=layer.rank, depth=layer.depth)
    budget = layer.past.lengths[candidates.rows[0]]
    joined = candidates.total - budget
    return budget if joined >= (site.method.evicting_after() or joined + 1) else candidates.total


def _choice(
    site: CacheSite, layer: LayerCache, candidates: Candidates, count: int, *, prefill: bool, seed: int
) -> Choice:
    attention = layer.held.attention
    tokens = CachedTokens(
        taken(layer.storage.keys, candidates),
        taken(layer.storage.values, candidates),
        None if attention is None else taken(attention, candidates),
        layer.rank,
        layer.depth,
        seed,
    )
    index = (site.method.on_prefill if prefill else site.method.on_decode)(tokens, count)
    return candidates, candidates.slot[:, None].expand(-1, index.shape[1], -1).gather(2, index)


def evicted(site: CacheSite, layer: LayerCache, chosen: Sequence[Choice], *, pad_left: bool) -> Entries:
    """Compact one layer's cache to what was chosen, with all that was no candidate, and say what it holds then.

    Args:
        site: the placement that says how; where there are several they agree. pad_left: side on which rows that hold
            fewer entries are filled up.
    """
    all_else, held = not site.takes_padding, layer.held
    lengths = _lengths(held, chosen, all_else=all_else)
    width, pad_left = max(lengths), pad_left and all_else
    keep = _stays(held, chosen, all_else=all_else)
    stays = compaction_index(keep.flatten(0, 1), width, pad_left=pad_left).view(*keep.shape[:2], width)
    valid = fill_mask(lengths, width, pad_left=pad_left, device=stays.device)
    storage = layer.storage
    storage.keys, storage.values = compact_cache(storage.keys, storage.values, stays)
    kept = Entries(held.index.gather(2, stays), held.since, lengths, valid)
    if site.evicts_later and held.attention is not None:
        heads = stays.repeat_interleave(held.attention.shape[1] // stays.shape[1], dim=1)
        kept = replace(kept, attention=held.attention.gather(2, heads))
    return kept if site.rotation is None else _renumbered(site, site.rotation, kept, layer, stays)


def _stays(held: Entries, chosen: Sequence[Choice], *, all_else: bool) -> torch.Tensor:
    """(B, G, P) bool: the entries that stay, with all that was no candidate or without."""
    keep = torch.full_like(held.index, all_else, dtype=torch.bool)
    if held.valid is not None:
        keep &= held.valid[:, None]
    head = torch.arange(keep.shape[1], device=keep.device)[None, :, None]
    for candidates, slots in chosen:
        row = candidates.row[:, None]
        keep[row, head, candidates.slot[:, None]] = False
        keep[row, head, slots] = True
    return keep


def _lengths(held: Entries, chosen: Sequence[Choice], *, all_else: bool) -> tuple[int, ...]:
    """Entries of each row that stay, from shapes alone."""
    lengths = list(held.lengths) if all_else else [0] * len(held.lengths)
    for candidates, slots in chosen:
        for row in candidates.rows:
            lengths[row] += slots.shape[2] - (candidates.total if all_else else 0)
    return tuple(lengths)


def _renumbered(site: CacheSite, rotation: Rotation, kept: Entries, layer: LayerCache, stays: torch.Tensor) -> Entries:
    """The entries after their keys were moved up over the gaps before them."""
    gaps, keys, anchors = kept.gaps(), layer.storage.keys, layer.held.anchors
    if anchors is None:
        before = 0 if layer.held.turned is None else layer.held.turned.gather(1, stays[:, 0])
        layer.storage.keys = rotation.turned(keys, gaps - before)
        anchors = keys[:, :, : getattr(site.method, "sinks", 0)] if site.evicts_later else None
    else:  # while decoding only the first keys move; they are turned from where they stood, so errors do not add up
        first = anchors.shape[2]
        layer.storage.keys = torch.cat([rotation.turned(anchors, gaps[:, :first]), keys[:, :, first:]], dim=2)
    return replace(kept, turned=gaps, anchors=anchors)
