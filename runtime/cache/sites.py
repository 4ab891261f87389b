"""The hooks of placements at `decoder.cache`: around every decoder layer whose cache they compress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ...common.errors import BadInput
from ...ir.placement import Placement
from ...passes.cache_base import CachePass
from .. import ledger as ledgers
from ..adapters import Adapter
from ..layer_kinds import full_layers
from ..reading.taps import Tap, install, remove
from ..sites import LiveSite, attention_module
from .eviction import CacheSite
from .rotation import rotation_of
from .run import CacheRun
from .signals import received

if TYPE_CHECKING:
    from ..call import Call


class CacheSites:
    """Evicts from the caches of one model's decoder; what a call does is its `CacheRun`."""

    def __init__(self, model: nn.Module, adapter: Adapter, sites: Sequence[LiveSite], *, forced: bool) -> None:
        decoder = adapter.decoder(model)
        self.decoder_layers: Sequence[nn.Module] = decoder.layers  # type: ignore[assignment]
        self.forced = forced
        self.layers = full_layers(decoder.config)
        attention, rotary = attention_module(self.decoder_layers[self.layers[0]]), adapter.rotary(model)
        self.sites = [
            CacheSite(
                site.placement,
                _cache_pass(site),
                site.modalities,
                rotation_of(decoder, rotary, attention) if getattr(site.method, "reindex", False) else None,
            )
            for site in sites
        ]
        _check_together(self.sites)
        self.taps: dict[int, Tap] = {}

    @property
    def whole(self) -> bool:
        """Whether text may be evicted too, so that every prompt is compressed."""
        return self.sites[0].whole

    def start(self, call: Call) -> CacheRun:
        """The run of one call."""
        prefill = call.state.ledger.logical == 0 if self.whole else bool(call.state.groups)
        run = CacheRun(call, self.sites, len(self.layers), prefill, self.forced)
        self.arm(run.acts)
        return run

    def arm(self, on: bool) -> None:
        """Switch the taps on for a call that reads them, and off after it."""
        for tap in self.taps.values():
            tap.armed, tap.row = on, None

    def hook(self, call: Callable[[], Call | None]) -> list[Any]:
        """Register every hook; returns what takes them off again."""
        handles: list[Any] = []
        observed = [site.method.observed() for site in self.sites if site.method.observed() != 0]
        for rank, number in enumerate(self.layers):
            layer = self.decoder_layers[number]
            if observed:
                self.taps[number] = install(attention_module(layer), -1, reads=partial(_read, observed[0]))
                handles.append(_InstalledTap(self.taps[number]))
            around = _Around(self, number, rank, call)
            handles.append(layer.register_forward_pre_hook(around.before, with_kwargs=True))
            handles.append(layer.register_forward_hook(around.after, with_kwargs=True))
        return handles


@dataclass(frozen=True)
class _InstalledTap:
    """Takes a tap off."""

    tap: Tap

    def remove(self) -> None:
        """Take it off."""
        remove(self.tap)


@dataclass(frozen=True)
class _Around:
    """The hooks of one decoder layer."""

    sites: CacheSites
    number: int
    rank: int
    call: Callable[[], Any]

    def before(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Put in the mask of what the layer's cache holds, and say where the last prompt token stands."""
        call = self.call()
        run = None if call is None else call.cache_run
        if run is None:
            return None
        ledger = ledgers.ledger_of(call.cache)
        if ledger is not None:
            ledger.inside = True
        tap = self.sites.taps.get(self.number)
        if tap is not None and run.prefill:
            tap.query = call.last_places()
        if self.number not in call.held:
            return None
        hidden = args[0] if args else kwargs["hidden_states"]
        return args, {**kwargs, "attention_mask": run.mask(self.number, kwargs.get("attention_mask"), hidden)}

    def after(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Evict from the layer's cache."""
        call = self.call()
        run = None if call is None else call.cache_run
        cache = kwargs.get("past_key_values")
        if run is None or not run.acts or cache is None:
            return
        ledgers.require_evictable(cache)
        tap = self.sites.taps.get(self.number)
        attention = None if tap is None else tap.take()
        run.after_layer(self.number, rank=self.rank, storage=cache.layers[self.number], attention=attention)


def _read(observed: Any, call: Any, last: int | torch.Tensor) -> torch.Tensor:
    return received(call, observed, last)


def _cache_pass(site: LiveSite) -> CachePass:
    assert isinstance(site.method, CachePass)
    return site.method


def _check_together(sites: Sequence[CacheSite]) -> None:
    """Refuse placements that cannot share one cache."""
    observed = {site.method.observed() for site in sites} - {0}
    if len(sites) > 1 and (len(observed) > 1 or any(site.whole or site.rotation is not None for site in sites)):
        labels = ", ".join(placement.label() for placement in _placements(sites))
        raise BadInput(
            f"{labels} cannot share one cache: a pass of scope all, one that renumbers, and passes that observe "
            "different queries must be alone; keep one of them"
        )


def _placements(sites: Sequence[CacheSite]) -> list[Placement]:
    return [site.placement for site in sites]
