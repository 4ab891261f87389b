"""Placements inside an encoder or at its output: later layers and the projector run on the tokens that remain.

Sites count in units: all tokens of the encoder that become one token of the decoder, one patch in most families, a
whole merge group where patches are merged, shuffled into channels or pooled. What comes after the projector still sees
every place: its output is scattered back, and the dropped places leave at the decoder's input.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

from ...common.errors import BadInput
from ...ir.layout import Layout
from ...ir.site import Site
from ..adapters import Adapter
from ..reading import taps
from ..reading.readers import Reader
from ..sites import LiveSite
from .exit import exit_hooks
from .layers import MidLayer, alike, as_rows
from .rows import EncoderRows
from .run import EncoderRun
from .signals import attention_of
from .sizes import SizeBias
from .stream import Step


class EncoderSites:
    """Runs the placements of one modality's encoder; each thread has its own run.

    Args:
        encoding: tells which modality is being encoded, for encoders that several modalities share; None is unknown.
        smaller: tells the layout of one row of the encoding in progress where its input was made smaller, else None.
    """

    def __init__(
        self,
        model: nn.Module,
        adapter: Adapter,
        modality: str,
        sites: list[LiveSite],
        *,
        forced: bool,
        encoding: Callable[[], str | None],
        smaller: Callable[[], Layout | None],
    ) -> None:
        self.modality, self.forced, self.sites = modality, forced, sites
        self.encoding, self.smaller = encoding, smaller
        self.flow = adapter.encoder_flow(model, modality)
        self._names = list(inspect.signature(self.flow.encoder.forward).parameters)
        self._runs: Any = WeakTensorKeyDictionary()
        self._followers: list[taps.Tap | Reader] = []
        self._local = threading.local()

    def at(self, kind: str, layer: int | None = None) -> list[LiveSite]:
        """The placements at one point."""
        return [site for site in self.sites if _place(site) == (kind, layer)]

    @property
    def run(self) -> EncoderRun | None:
        """The run in progress in this thread, or the last one; None where another modality's media are encoded."""
        other = self.encoding() not in (None, self.modality)
        return None if other else getattr(self._local, "run", None)

    def hook(self) -> list[Any]:
        """Register every hook; returns their handles."""
        flow, handles = self.flow, []
        handles.append(flow.encoder.register_forward_pre_hook(self._start, with_kwargs=True))
        inside = [layer for kind, layer in map(_place, self.sites) if layer is not None]
        for number in range(min(inside, default=len(flow.layers)), len(flow.layers)):
            hook = _LayerHook(self, self.at("encoder.layer", number))
            handles.append(flow.layers[number].register_forward_pre_hook(hook, with_kwargs=True))
            for site in self.at("encoder.layer.mid", number):
                handles += MidLayer(flow.layers[number], _Running(self, site)).hook()
        handles += exit_hooks(self)
        handles.append(flow.encoder.register_forward_hook(self._end))
        return [*handles, *self._size_biases(min(inside, default=len(flow.layers)))]

    def taken(self, precomputed: Any) -> EncoderRun | None:
        """The run that encoded the media of a call: its own, or that of `precomputed`.

        Raises:
            BadInput: the outputs were computed before the plan was applied.
        """
        if precomputed is None:
            return self.run
        hidden = getattr(precomputed, "last_hidden_state", None)
        run: EncoderRun | None = None if hidden is None else self._runs.get(hidden)
        if run is None:
            raise BadInput(
                f"the {self.modality} encoder's outputs were computed before the plan was applied, and the plan "
                "compresses inside the encoder; compute them again while the plan is applied"
            )
        return run

    @property
    def chosen(self) -> dict[str, torch.Tensor]:
        """What the last run of this thread kept, by site."""
        return {} if self.run is None else self.run.chosen

    def compress(self, sites: list[LiveSite], states: torch.Tensor) -> torch.Tensor:
        """Run the passes placed at one point on (R, P, D) or packed (P, D) states."""
        run = self.run
        if run is None:
            return states
        run.open(states)
        for site in sites:
            step = run.step(site, as_rows(states))
            states = states if step is None else alike(step.states, states)
        return states

    def follow(self, rows: EncoderRows) -> None:
        """Let what passes after the encoder read in it follow its tokens, and have all its places back at the end."""
        self._followers, rows.restored = list(rows.taps.values()), self._restored

    def remember(self, output: Any) -> None:
        """Find this run again by its output's last hidden state."""
        hidden = getattr(output, "last_hidden_state", None)
        if hidden is not None and self.run is not None:
            self._runs[hidden] = self.run

    def _start(self, encoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.encoding() not in (None, self.modality):
            return
        for tap in self._mine():
            tap.clear()
        arguments = dict(zip(self._names, args, strict=False)) | kwargs
        read = [*self._mine(), *self._followers]
        self._local.run = EncoderRun(self.flow, arguments, read, smaller=self.smaller, forced=self.forced)

    def _mine(self) -> list[taps.Tap | Reader]:
        return [tap for site in self.sites for tap in site.taps.values()]

    def _restored(self, read: Any) -> Any:
        run = self.run
        if run is None or run.stream is None:
            return read
        return [run.stream.restored(torch.cat(read, dim=1))] if isinstance(read, list) else run.stream.restored(read)

    def _end(self, encoder: nn.Module, args: Any, output: Any) -> None:
        self.remember(output)

    def _size_biases(self, first: int) -> list[Any]:
        """Proportional attention in the layers after merging, where a pass asks for it."""
        if not any(site.method.weighs_attention for site in self.sites):
            return []

        def sizes() -> torch.Tensor | None:
            return None if self.run is None or self.run.stream is None else self.run.stream.sizes()

        layers = self.flow.layers[first:]
        return [_Tapped(taps.install(attention_of(layer), amends=SizeBias(sizes))) for layer in layers]


class _LayerHook:
    """Pre-hook of an encoder layer at or after the first site: its states and arguments are of what remains."""

    def __init__(self, owner: EncoderSites, sites: list[LiveSite]) -> None:
        self.owner, self.sites = owner, sites

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        run = self.owner.run
        if run is None:
            return None
        name = next(iter(inspect.signature(layer.forward).parameters))
        states = self.owner.compress(self.sites, args[0] if args else kwargs[name])
        assert run.layer_arguments is not None
        args, kwargs = ((states, *args[1:]), kwargs) if args else (args, {**kwargs, name: states})
        return run.layer_arguments.rewritten(layer, args, kwargs)


class _Running:
    """Runs the pass of one site between attention and MLP."""

    def __init__(self, owner: EncoderSites, site: LiveSite) -> None:
        self.owner, self.site = owner, site

    def __call__(self, rows: torch.Tensor) -> Step | None:
        run = self.owner.run
        return None if run is None else run.step(self.site, rows)


class _Tapped:
    """A tap among hook handles."""

    def __init__(self, tap: taps.Tap) -> None:
        self.tap = tap

    def remove(self) -> None:
        """Take it off."""
        taps.remove(self.tap)


def _place(site: LiveSite) -> tuple[str, int | None]:
    place = Site.parse(site.placement.site)
    return place.kind, place.layer
