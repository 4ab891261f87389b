"""One forward call under passes at `decoder.cache`: what each layer's cache holds, and the masks that fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from ..eagerly import eagerly
from ..masks import additive_dtype
from ..views import View, gathered
from .candidates import Candidates, RowCounts, of_media, of_sequences
from .entries import Entries
from .eviction import CacheSite, LayerCache, choices, evicted

if TYPE_CHECKING:
    from ..call import Call


@dataclass
class CacheRun:
    """What the passes at `decoder.cache` do in one call.

    Attributes:
        sites: the placements; one that renumbers, or may evict text, is alone.
        depth: layers that are compressed. prefill: whether `on_prefill` is asked in this call.
        acted: whether any entry was evicted.
    """

    call: Call
    sites: Sequence[CacheSite]
    depth: int
    prefill: bool
    forced: bool
    acted: bool = False
    counts: RowCounts = field(default_factory=RowCounts)
    _masks: dict[tuple[int, int], torch.Tensor | None] = field(default_factory=dict)
    _prepared: dict[int, torch.Tensor | None] = field(default_factory=dict)

    @property
    def acts(self) -> bool:
        """Whether a layer's cache may lose entries in this call."""
        return self.prefill or any(site.evicts_later for site in self.sites)

    def mask(self, number: int, given: Any, hidden: torch.Tensor) -> Any:
        """The attention mask of a layer that runs on `hidden` (B, Q, D) and holds compacted entries, else `given`."""
        if number in self._prepared:
            return self._prepared[number]
        entries = self.call.held.get(number)
        return given if entries is None else self._mask(number, entries, hidden)

    def prepare(self, hidden: torch.Tensor) -> None:
        """Make the masks of a call without media before the decoder runs, where no graph can depend on their sizes.

        Calls with media may lose tokens on the way, so that their masks are made layer by layer.
        """
        if not self.call.state.groups:
            for number, entries in self.call.held.items():
                self._prepared[number] = self._mask(number, entries, hidden)

    def _mask(self, number: int, entries: Entries, hidden: torch.Tensor) -> torch.Tensor | None:
        """The mask of one layer's entries and of the tokens after them; layers that hold as many share it.

        What an earlier call left is seen by every later query that its padding allows, in all heads alike, so the first
        head stands for all.
        """
        index, valid = self.call.sequence(number)
        key = entries.count, index.shape[1] - entries.since
        if key not in self._masks:
            tail, present = index[:, entries.since :], None if valid is None else valid[:, entries.since :]
            self._masks[key] = gathered(
                self.call.logical_mask(number),
                View(entries.columns(tail), entries.present(tail, present)),
                queries=index[:, index.shape[1] - hidden.shape[1] :],
                rows=self.call.state.kept,
                dtype=additive_dtype(self.call.config, hidden),
            )
        return self._masks[key]

    @eagerly  # what goes is decided by values, and a graph of it would be of one length
    def after_layer(self, number: int, *, rank: int, storage: Any, attention: torch.Tensor | None) -> None:
        """Evict from the cache of decoder layer `number`, the `rank`-th that is compressed.

        Args:
            storage: the layer of the cache object. attention: (B, H, P) what every entry received from the observed
                queries of this call.
        """
        past = self.call.held.get(number)
        if not self.prefill and past is None:
            return
        if past is not None and past.attention is not None and attention is not None:
            attention = attention + torch.nn.functional.pad(
                past.attention, (0, attention.shape[2] - past.attention.shape[2])
            )
        held = self._holding(past, number, storage.keys.shape[1])
        layer = LayerCache(storage, replace(held, attention=attention), past, rank, self.depth)
        chosen = [found for site in self.sites for found in self._choices(site, layer)]
        if chosen:
            pad_left = self.call.state.pad_left
            self.call.held[number], self.acted = evicted(self.sites[0], layer, chosen, pad_left=pad_left), True
        elif past is not None and (self.call.state.groups or attention is not None):
            self.call.held[number] = layer.held

    def _choices(self, site: CacheSite, layer: LayerCache) -> list[tuple[Candidates, torch.Tensor]]:
        """What a site keeps of the entries that it may evict."""
        state = self.call.state
        if site.whole:
            padding = self.call.padding if self.prefill else None
            candidates = list(of_sequences(layer.held, padding, self.counts))
        else:
            groups = [group for group in state.groups if group.modality in site.modalities]
            candidates = list(of_media(groups, state, layer.held.count, self.counts))
        return choices(site, layer, candidates, prefill=self.prefill, forced=self.forced, seed=state.ledger.logical)

    def _holding(self, past: Entries | None, number: int, heads: int) -> Entries:
        """Everything that a layer's cache holds now, the tokens of this call included."""
        index, valid = self.call.sequence(number)
        if past is None:
            return Entries(index[:, None].expand(-1, heads, -1), index.shape[1], self.counts.of(index, valid), valid)
        tail = index[:, past.since :]
        # Only calls that carry media can leave filled-up tokens, and those take in the whole tail.
        new = None if valid is None or not self.call.state.groups else valid[:, past.since :]
        return replace(
            past,
            index=torch.cat([past.index, tail[:, None].expand(-1, heads, -1)], dim=2),
            since=index.shape[1],
            lengths=tuple(map(sum, zip(past.lengths, self.counts.of(tail, new), strict=True))),
            valid=past.present(tail, new),
            turned=None if past.turned is None else torch.nn.functional.pad(past.turned, (0, tail.shape[1])),
        )
