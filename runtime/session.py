"""The hooks that run a plan inside a live model: at the outermost forward, at the decoder, and on its layers."""

from __future__ import annotations

import inspect
import threading
from functools import partial
from typing import Any

import torch
from torch import nn

from ..common.errors import BadInput
from ..ir.site import Site
from . import ledger as ledgers
from .adapters import Adapter
from .cache.sites import CacheSites
from .call import Call
from .cross_sites import CrossSites
from .eagerly import eagerly
from .encoder.rows import EncoderRows
from .encoder.sites import EncoderSites
from .encodings import Encodings
from .generation import GenerationGuard
from .inputs.sites import InputSites
from .layer_kinds import windowed
from .ledger import Ledger
from .media import MediaGroup, media_groups
from .prefill import CallState, selections
from .sites import LiveSite


class Session:
    """Runs the placements of one plan on one model; each thread has its own call state."""

    def __init__(self, model: nn.Module, adapter: Adapter, sites: list[LiveSite], *, forced: bool) -> None:
        self.model, self.adapter, self.forced = model, adapter, forced
        self.sites: dict[int, list[LiveSite]] = {}
        in_encoder: dict[str, list[LiveSite]] = {}
        on_cache: list[LiveSite] = []
        at_input: dict[str, LiveSite] = {}
        self.cross_sites = CrossSites(model, adapter, sites, forced=forced) if adapter.cross_attention else None
        for site in () if adapter.cross_attention else sites:
            place = Site.parse(site.placement.site)
            if place.kind == "input" and place.modality is not None:
                at_input[place.modality] = site
            elif place.kind.startswith("encoder") and place.modality is not None:
                in_encoder.setdefault(place.modality, []).append(site)
            elif place.kind == "decoder.cache":
                on_cache.append(site)
            else:
                self.sites.setdefault(site.layer, []).append(site)
        self.inputs = InputSites(model, adapter, at_input, forced=forced)
        self.encoder_sites = {
            modality: EncoderSites(
                model,
                adapter,
                modality,
                placed,
                forced=forced,
                encoding=lambda: self.encodings.encoding,
                smaller=partial(self.inputs.smaller, modality),
            )
            for modality, placed in in_encoder.items()
        }
        self.decoder = adapter.decoder(model)
        self.cache_sites = CacheSites(model, adapter, on_cache, forced=forced) if on_cache else None
        self.encoder_rows = {
            modality: EncoderRows(
                {
                    n: t
                    for s in sites
                    for n, t in s.tapped("encoder").items()
                    if modality in s.modalities and not n.relative
                },
                adapter,
            )
            for modality in adapter.modalities
        }
        for modality, encoder_sites in self.encoder_sites.items():
            encoder_sites.follow(self.encoder_rows[modality])
        self.positions: torch.Tensor | None = None
        self.cached: dict[int, torch.Tensor] = {}
        self._chosen: dict[str, list[MediaGroup]] = {}
        self.entrance = adapter.entrance(model)
        self._names = list(inspect.signature(self.entrance.module.forward).parameters)
        self._local = threading.local()

    @property
    def selections(self) -> dict[str, torch.Tensor]:
        """What the last prefill kept, by site."""
        if self.cross_sites is not None:
            return self.cross_sites.chosen
        found = dict(self.inputs.chosen)
        for modality, sites in self.encoder_sites.items():
            given = found.get(f"{modality}.input")
            found |= {site: kept if given is None else _of_whole(given, kept) for site, kept in sites.chosen.items()}
        return found | selections(self._chosen)

    def hook(self) -> list[Any]:
        """Register every hook; returns their handles."""
        if self.cross_sites is not None:
            return [GenerationGuard(self.model), *self.cross_sites.hook()]
        shortened = self.inputs.hook()  # before the encodings, which remember media as the caller gave them
        self.encodings = Encodings(self.model, self.adapter)
        rotary = self.adapter.rotary(self.model)
        handles: list[Any] = [
            self.entrance.module.register_forward_pre_hook(eagerly(self._enter_model), with_kwargs=True),
            self.entrance.module.register_forward_hook(eagerly(self._leave_model), with_kwargs=True, always_call=True),
            self.decoder.register_forward_pre_hook(eagerly(self._enter_decoder), with_kwargs=True),
            self.decoder.register_forward_hook(eagerly(self._leave_decoder), with_kwargs=True, always_call=True),
            self.encodings,
            *shortened,
            *self.entrance.hook(),
            GenerationGuard(self.model),
            *self.adapter.extra_hooks(self.model, lambda: self.call),
        ]
        handles += [handle for sites in self.encoder_sites.values() for handle in sites.hook()]
        if rotary is not None:
            handles.append(rotary.register_forward_pre_hook(self._enter_rotary, with_kwargs=True))
        for modality, rows in self.encoder_rows.items():
            if rows.taps:
                handles += rows.hook(self.adapter.encoder(self.model, modality))
        inside = [layer for layer in self.sites if layer > 0 or self.adapter.embeds_inside]
        for number, layer in enumerate(self.decoder.layers):  # type: ignore[arg-type]
            if inside and (number >= min(inside) or self.adapter.embeds_inside):
                hook = _LayerHook(self, number)
                handles.append(layer.register_forward_pre_hook(hook, with_kwargs=True))
        if self.cache_sites is not None:
            handles += self.cache_sites.hook(lambda: self.call)
        return handles

    @property
    def call(self) -> Call | None:
        """The call in progress in this thread, None outside of one or where nothing is to be done."""
        return getattr(self._local, "call", None)

    def aim(self, call: Call) -> None:
        """Point the taps of last-token rows at the last prompt token among the tokens that remain."""
        wanted = [tap for site in self._all_sites() for need, tap in site.taps.items() if need.query == "last"]
        if wanted and call.prefill:
            last = call.last_places()
            for tap in wanted:
                tap.query = last

    def _enter_model(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        arguments = self.entrance.arguments(dict(zip(self._names, args, strict=False)) | kwargs)
        cache = arguments.get("past_key_values")
        known = ledgers.ledger_of(cache)
        media = self.encodings.media(arguments)
        self.inputs.meet(media)
        groups = media_groups(self.adapter, self.model.config, media, arguments.get("input_ids"))
        self._local.call = None
        whole = self.cache_sites is not None and self.cache_sites.whole
        if not groups and not whole and not (known is not None and known.active):
            return None
        if cache is not None:
            ledgers.require_supported(cache)
            if self.cache_sites is not None:
                ledgers.require_evictable(cache)
        # The length of a static cache is read from the device, and once: then its ledger knows it.
        ledger = known or Ledger(logical=0 if cache is None else int(cache.get_seq_length()))
        if arguments.get("labels") is not None:
            raise BadInput(
                "labels cannot be used while a plan is applied: remove the plan to train or to take the loss"
            )
        state = _state(ledger, groups, arguments, windows=windowed(self.decoder.config))
        absolute = self.adapter.absolute_positions(self.model.config)
        call = Call(
            state, arguments.get("attention_mask"), cache, decoder_config=self.decoder.config, absolute=absolute
        )
        call.precomputed = arguments.get("mm_encoder_outputs") or {}
        call.dtype = model.dtype  # type: ignore[assignment]
        self._local.call = call
        if self.cache_sites is not None:
            call.cache_run = self.cache_sites.start(call)
        for site in self._all_sites():
            site.arm(bool(groups))
        return None

    def _leave_model(self, model: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        call, self._local.call = self.call, None
        if self.cache_sites is not None:
            self.cache_sites.arm(False)
        for site in self._all_sites():
            site.arm(False)
        if call is not None and call.finished and call.prefill:
            self._chosen, self.positions = call.state.chosen, call.positions()
        if call is not None and call.finished and call.cache_run is not None and call.cache_run.prefill:
            self.cached = {layer: entries.places() for layer, entries in call.held.items()}

    def _enter_decoder(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self.call
        if call is None:
            return None
        if call.prefill:
            self._read_encoder_rows(call)
            self.inputs.leave_out(call.state, call.precomputed)
            self._leave_out_encoded(call)
        if self.adapter.embeds_inside:
            return args, call.enter_embedding_decoder(kwargs)
        changed = call.enter_decoder(self.sites.get(0, []), _embedded(decoder, kwargs), forced=self.forced)
        if call.cache_run is not None:
            call.cache_run.prepare(changed["inputs_embeds"])
        if call.cache is not None and ledgers.ledger_of(call.cache) is not None:
            call.state.ledger.inside = True
        self.aim(call)
        return args, changed

    def _leave_out_encoded(self, call: Call) -> None:
        """Drop from the call what was dropped while its media were encoded."""
        for modality, sites in self.encoder_sites.items():
            run = sites.taken(call.precomputed.get(modality))
            mine = {place: group for place, group in enumerate(call.state.groups) if group.modality == modality}
            if run is not None and run.compressed and mine:
                kept = run.remaining(list(mine.values()), call.state.length)
                left = zip(mine.items(), kept, strict=True)
                call.state.narrow({place: group.compressed(index, to) for (place, group), (index, to) in left})

    def _read_encoder_rows(self, call: Call) -> None:
        """Hand the encoder's rows of this call's media to its state."""
        for modality, rows in self.encoder_rows.items():
            media = sum(len(group.members) for group in call.state.groups if group.modality == modality)
            if media:
                call.state.encoder_rows |= rows.rows(call.precomputed.get(modality), media)

    def _leave_decoder(self, decoder: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        call = self.call
        if call is None:
            return
        call.state.ledger.inside = False
        if output is not None:
            call.finish(getattr(output, "past_key_values", None))

    def _enter_rotary(self, rotary: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self.call
        if call is None or call.rotary is None:
            return None
        if "position_ids" in kwargs:
            return args, {**kwargs, "position_ids": call.rotary}
        return (args[0], call.rotary, *args[2:]), kwargs

    def _all_sites(self) -> list[LiveSite]:
        return [site for group in self.sites.values() for site in group]


class _LayerHook:
    """Pre-hook of one decoder layer at or after a site inside the stack."""

    def __init__(self, session: Session, number: int) -> None:
        self.session, self.number = session, number

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self.session.call
        if call is None:
            return None
        sites = self.session.sites.get(self.number)
        if self.session.adapter.embeds_inside and call.cache is not None and ledgers.ledger_of(call.cache) is not None:
            call.state.ledger.inside = True
        if sites is not None:
            args, kwargs = call.enter_layer(self.number, sites, args, kwargs, forced=self.session.forced)
            self.session.aim(call)
        return call.layer_arguments(self.number, args, kwargs)


def _of_whole(given: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Indices in whole media (media, N') that the encoder was `given`, at (media, K) places; -1 fills shorter rows."""
    return given.gather(1, kept.clamp(min=0)).where(kept >= 0, -1)


def _embedded(decoder: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """A decoder's arguments with embeddings in place of ids, as the decoder itself would embed them."""
    if kwargs.get("inputs_embeds") is not None or kwargs.get("input_ids") is None:
        return kwargs
    return {**kwargs, "input_ids": None, "inputs_embeds": decoder.get_input_embeddings()(kwargs["input_ids"])}


def _state(ledger: Ledger, groups: list[Any], arguments: dict[str, Any], *, windows: bool) -> CallState:
    """The state of a call. Short rows are filled on the side of their padding; in windows, which hold the last entries
    of a row, always on the left."""
    given = arguments.get("input_ids")
    given = arguments["inputs_embeds"] if given is None else given
    mask = arguments.get("attention_mask")
    pad_left = True
    if groups and not windows and given.shape[0] > 1 and isinstance(mask, torch.Tensor) and mask.ndim == 2:
        pad_left = not bool((mask[:, -1] == 0).any())
    return CallState(ledger, groups, given.shape[0], given.shape[1], given.device, pad_left)
