"""Placements on cross-attention states: what is dropped leaves the keys of every cross-attention layer."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from .adapters import Adapter
from .index_maps import gather_sequence
from .sites import LiveSite, carried_out


@dataclass(frozen=True)
class _Seen:
    """What a cache holds of the tiles so far: (rows, K) places that remain, of `places` in all."""

    columns: torch.Tensor
    places: int

    def extended(self, columns: torch.Tensor, places: int) -> _Seen:
        """After more tiles."""
        return _Seen(torch.cat([self.columns, columns + self.places], dim=1), self.places + places)


class CrossSites:
    """Compresses `cross_attention_states` at the decoder's input, and the columns of every later mask alike.

    The states are (rows x tiles, prefix + N, D), a tile being one medium; keys are cached, so later calls carry only
    masks over all N places, whose columns are gathered by what the prefill kept. Beams change rows only among copies of
    one prompt, which kept the same.
    """

    def __init__(self, model: nn.Module, adapter: Adapter, sites: list[LiveSite], *, forced: bool) -> None:
        self.decoder, self.forced, self.sites = adapter.decoder(model), forced, sites
        self.layout = adapter.encoder_layout(model.config, "image")
        self.seen: WeakKeyDictionary[Any, _Seen] = WeakKeyDictionary()
        self._local = threading.local()

    def hook(self) -> list[Any]:
        """Register every hook; returns their handles."""
        return [
            self.decoder.register_forward_pre_hook(self._enter, with_kwargs=True),
            self.decoder.register_forward_hook(self._leave, with_kwargs=True),
        ]

    @property
    def chosen(self) -> dict[str, torch.Tensor]:
        """What the last prefill of this thread kept, by site."""
        return getattr(self._local, "chosen", {})

    def _enter(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        states, mask = kwargs.get("cross_attention_states"), kwargs.get("cross_attention_mask")
        cache = kwargs.get("past_key_values")
        seen = None if cache is None else self.seen.get(cache)
        if states is not None:
            rows = len(kwargs["input_ids"] if kwargs.get("inputs_embeds") is None else kwargs["inputs_embeds"])
            states, columns, places = self._compress(states, rows)
            seen = _Seen(columns, places) if seen is None else seen.extended(columns, places)
        self._local.seen = seen
        if seen is None:
            return None
        mask = None if mask is None else _gathered(mask, seen.columns)
        return args, {**kwargs, "cross_attention_states": states, "cross_attention_mask": mask}

    def _leave(self, decoder: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        cache, seen = getattr(output, "past_key_values", None), self._local.seen
        if cache is not None and seen is not None:
            self.seen[cache] = seen

    def _compress(self, states: torch.Tensor, rows: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """What remains of the states, the (rows, tiles x (prefix + K)) places that it has, of how many."""
        prefix, layout, kept = self.layout.prefix, self.layout.without_prefix(), None
        width = states.shape[1]
        self._local.chosen = {}
        for site in self.sites:
            target = site.target(layout)
            if target.count == layout.count and not self.forced:
                continue
            features = states[:, prefix:]
            compression = site.run(layout, features, {})
            replaced = carried_out(compression, features)
            remaining = gather_sequence(features, compression.index) if replaced is None else replaced
            states, layout = torch.cat([states[:, :prefix], remaining], dim=1), target
            kept = compression.index if kept is None else kept.gather(1, compression.index)
            self._local.chosen[site.placement.site] = kept
        places = torch.arange(width, device=states.device).expand(len(states), -1)
        if kept is not None:
            places = torch.cat([places[:, :prefix], kept + prefix], dim=1)
        tiles = torch.arange(len(states) // rows, device=states.device)
        places = places.view(rows, len(tiles), -1) + width * tiles[:, None]
        return states, places.flatten(1), width * len(tiles)


def _gathered(mask: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """(B, 1, Q, K) of a (B, 1, Q, N) mask, with columns (B', K) where B is a multiple of B' (beams)."""
    columns = columns.repeat_interleave(len(mask) // len(columns), dim=0)
    return mask.gather(3, columns[:, None, None].expand(-1, mask.shape[1], mask.shape[2], -1))
