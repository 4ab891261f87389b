"""Placements inside an encoder or at its output: later layers and the projector run on the tokens that remain.

Dense encoders only: (media, prefix + tokens, channels) with positions added before the first layer. What comes after
the projector still sees every place: its output is scattered back, and the dropped places leave at the decoder's input.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

from ..common.errors import BadInput
from ..ir.layout import Layout
from ..ir.site import Site
from .adapters import Adapter
from .index_maps import gather_sequence
from .sites import LiveSite, carried_out


@dataclass
class EncoderRun:
    """One run of an encoder: `kept` (M, K) indices in each medium's stream of what remains, None while all do.

    `layout` is how the tokens that remain are arranged, `prefix` how many tokens stand before them, `uncompressed`
    how many tokens there were, `chosen` what was kept after each site.
    """

    layout: Layout
    prefix: int
    uncompressed: int
    kept: torch.Tensor | None = None
    chosen: dict[str, torch.Tensor] = field(default_factory=dict)

    def compress(self, site: LiveSite, hidden: torch.Tensor, *, forced: bool) -> torch.Tensor:
        """(M, prefix + K, D) hidden states after the pass at `site`, prefix untouched."""
        target = site.target(self.layout)
        if target.count == self.layout.count and not forced:
            return hidden
        features = hidden[:, self.prefix :]
        compression = site.run(self.layout, features, {})
        replaced = carried_out(compression, features)
        remaining = gather_sequence(features, compression.index) if replaced is None else replaced
        self.layout = target
        self.kept = compression.index if self.kept is None else self.kept.gather(1, compression.index)
        self.chosen[site.placement.site] = self.kept
        return torch.cat([hidden[:, : self.prefix], remaining], dim=1)


class EncoderSites:
    """Runs the placements of one modality's encoder; each thread has its own run."""

    def __init__(
        self, model: nn.Module, adapter: Adapter, modality: str, sites: list[LiveSite], *, forced: bool
    ) -> None:
        self.modality, self.forced = modality, forced
        self.encoder, self.projector = adapter.encoder(model, modality), adapter.projector(model, modality)
        self.layers = adapter.encoder_layers(model, modality)
        self.layout = adapter.encoder_layout(model.config, modality)
        self.inside: dict[int, list[LiveSite]] = {}
        self.at_output: list[LiveSite] = []
        for site in sites:
            place = Site.parse(site.placement.site)
            group = self.at_output if place.kind == "encoder.output" else self.inside.setdefault(place.layer or 0, [])
            group.append(site)
        self._runs: Any = WeakTensorKeyDictionary()
        self._local = threading.local()

    def hook(self) -> list[Any]:
        """Register every hook; returns their handles."""
        handles: list[Any] = [
            self.encoder.register_forward_pre_hook(self._start),
            self.encoder.register_forward_hook(self._end),
        ]
        for number, sites in self.inside.items():
            hook = _LayerHook(self, sites)
            handles.append(self.layers[number].register_forward_pre_hook(hook, with_kwargs=True))
        if self.projector is not None:
            handles.append(self.projector.register_forward_pre_hook(self._enter_projector))
            handles.append(self.projector.register_forward_hook(self._leave_projector))
        return handles

    def taken(self, precomputed: Any) -> EncoderRun | None:
        """What was kept while the media of a call were encoded: in its own run, or in the run of `precomputed`."""
        if precomputed is None:
            return getattr(self._local, "run", None)
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
        run: EncoderRun | None = getattr(self._local, "run", None)
        return {} if run is None else run.chosen

    def compress(self, sites: list[LiveSite], hidden: torch.Tensor) -> torch.Tensor:
        """Run the passes placed at one point on (M, prefix + K, D) hidden states."""
        run: EncoderRun = self._local.run
        for site in sites:
            hidden = run.compress(site, hidden, forced=self.forced)
        return hidden

    def _start(self, encoder: nn.Module, args: Any) -> None:
        self._local.run = EncoderRun(self.layout, 0, self.layout.count)

    def _end(self, encoder: nn.Module, args: Any, output: Any) -> Any:
        """Where nothing is projected the output itself is compressed; else the projector's input is, later."""
        run: EncoderRun = self._local.run
        if self.projector is None and self.at_output:
            run.prefix = output.last_hidden_state.shape[1] - run.layout.count
            output.last_hidden_state = self.compress(self.at_output, output.last_hidden_state)
        self._runs[output.last_hidden_state] = run
        return output

    def _enter_projector(self, projector: nn.Module, args: tuple[Any, ...]) -> Any:
        run: EncoderRun = self._local.run
        run.prefix = args[0].shape[1] - run.layout.count
        return (self.compress(self.at_output, args[0]), *args[1:])

    def _leave_projector(self, projector: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        """The features at their places among all of the medium's; zeros stand where tokens were dropped."""
        run: EncoderRun = self._local.run
        if run.kept is None:
            return output
        prefix = output.shape[1] - run.kept.shape[1]
        full = output.new_zeros(output.shape[0], prefix + run.uncompressed, output.shape[2])
        full[:, :prefix] = output[:, :prefix]
        return full.scatter_(1, (run.kept + prefix)[..., None].expand(-1, -1, output.shape[2]), output[:, prefix:])


class _LayerHook:
    """Pre-hook of the encoder layer at whose input passes are placed."""

    def __init__(self, owner: EncoderSites, sites: list[LiveSite]) -> None:
        self.owner, self.sites = owner, sites

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        hidden = args[0] if args else kwargs["hidden_states"]
        run: EncoderRun = self.owner._local.run
        run.prefix = hidden.shape[1] - run.layout.count
        hidden = self.owner.compress(self.sites, hidden)
        return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})
