"""A placement made ready for a live model: its pass, its place in the decoder, and the taps that feed its signals."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from ..common.errors import BadInput
from ..ir.class_token import has_class_token
from ..ir.layout import Layout
from ..ir.placement import Placement
from ..ir.signal import Need
from ..ir.site import Site
from ..passes import Compression, Pass, Tokens, create
from ..passes.adaptive import AdaptivePass
from ..passes.primitives.merge import merged
from .adapters import Adapter
from .media import MediaGroup
from .reading.readers import Reader, norm_reader, preview_reader, prompt_reader
from .reading.signals import encoder_signal
from .reading.taps import SegmentTap, Tap, install, remove, whole_call
from .suiting import suited

PROMPT = Need("embedding", "all", "decoder")
"""Stands in `taps` for the reader of what enters the decoder, which signals of text and embeddings share."""


@dataclass
class LiveSite:
    """One placement on one model. `layer` is the decoder layer whose input it compresses (0: the decoder's input)."""

    placement: Placement
    method: Pass
    modalities: tuple[str, ...]
    layer: int
    taps: dict[Need, Tap | Reader] = field(default_factory=dict)

    def target(self, layout: Layout) -> Layout:
        """What remains of a medium of `layout`."""
        return self.method.count(layout, self.placement.keep)

    def acts_on(self, group: MediaGroup, *, forced: bool) -> bool:
        """Whether it changes anything for a group; with `forced` a pass that keeps every token runs too."""
        if group.modality not in self.modalities:
            return False
        return forced or self.method.is_adaptive or self.target(group.layout).count != group.layout.count

    def compress(self, group: MediaGroup, features: torch.Tensor, rows: dict[Need, torch.Tensor]) -> Compression:
        """Run the pass on (M, n, D) features, with the signals read for this group."""
        return self.run(group.layout, features, rows)

    def run(self, layout: Layout, features: torch.Tensor, signals: dict[Need, torch.Tensor]) -> Compression:
        """Run the pass on (M, n, D) features of media of `layout`; an adaptive one takes one medium."""
        if isinstance(self.method, AdaptivePass) and self.method.adaptive:
            return self.method.published(Tokens(features, layout, signals))
        return self.method.compress(Tokens(features, layout, signals), self.target(layout))

    def left(self, layout: Layout, compression: Compression) -> Layout:
        """The layout of what a compression of media of `layout` left; how many that is may be up to content."""
        if not self.method.is_adaptive:
            return self.target(layout)
        return layout.without_grid(compression.index.shape[1])

    def arm(self, on: bool) -> None:
        """Switch the decoder's taps on before a prefill and off after it; the encoder's are always on."""
        for tap in self.tapped("decoder").values():
            tap.armed, tap.row = on, None

    def tapped(self, stage: str) -> dict[Need, Tap | Reader]:
        """The taps in one stage."""
        return {need: tap for need, tap in self.taps.items() if need.stage == stage}


def live_site(placement: Placement, model: nn.Module, adapter: Adapter, config: Any) -> LiveSite:
    """Resolve a placement's pass and place, and install its taps.

    Raises:
        BadInput: unknown pass or parameter, or a signal that this model cannot give.
    """
    site = Site.parse(placement.site)
    modalities = placement.modalities(adapter.modalities)
    placement = suited(placement, lambda: all(has_class_token(adapter.encoder(model, m)) for m in modalities))
    method = create(placement.method, placement.params)
    live = LiveSite(placement, method, modalities, site.layer or 0 if site.kind == "decoder.layer" else 0)
    if site.kind.startswith("encoder"):
        from .encoder.signals import encoder_taps

        flow = adapter.encoder_flow(model, modalities[0])
        live.taps.update(encoder_taps(method, site, flow, label=placement.label()))
        return live
    if method.weighs_attention and "flash" in str(getattr(adapter.decoder(model).config, "_attn_implementation", "")):
        raise BadInput(
            f"{placement.label()} adds to the scores of attention, which flash attention does not take; load the model "
            "with sdpa or eager"
        )
    try:
        for modality in modalities:
            for need in method.needs(Layout(1)):
                if need in live.taps and need.stage != "encoder":
                    continue  # the decoder is one for all modalities; a second tap of it would outlive the plan
                earlier = live.taps.get(need)
                live.taps[need] = _tap(need, live, model, adapter, config, modality)
                if earlier is not None:  # of another modality's encoder, often the same module
                    remove(earlier)
    except BaseException:
        release(live)
        raise
    return live


def release(live: LiveSite) -> None:
    """Take its taps off the model."""
    for tap in live.taps.values():
        remove(tap)
    live.taps.clear()


def _tap(need: Need, live: LiveSite, model: nn.Module, adapter: Adapter, config: Any, modality: str) -> Tap | Reader:
    if need.stage == "encoder":
        stack, layer = adapter.encoder(model, modality), _encoder_layer(need, adapter, config, modality)
    else:
        stack, layer = adapter.decoder(model), live.layer + (need.layer or 0)
        if (need.of_text or need.signal == "embedding") and PROMPT not in live.taps:
            live.taps[PROMPT] = prompt_reader(stack)
    if need.signal == "embedding":
        return live.taps[PROMPT]
    if need.signal == "state":
        return norm_reader(stack)
    layers = max((m for m in stack.modules() if isinstance(m, nn.ModuleList)), key=len)
    if not 0 <= layer < len(layers):
        label = live.placement.label()
        raise BadInput(f"{label} reads layer {layer} of the {need.stage}, which has layers 0 to {len(layers) - 1}")
    if need.query == "cls" and not has_class_token(stack):
        raise BadInput(f"{live.placement.label()} reads the attention of [CLS], and this encoder has no [CLS] token")
    if need.stage == "encoder":
        kind = SegmentTap if adapter.packed else Tap
        return install(attention_module(layers[layer]), reads=partial(encoder_signal, need), kind=kind)
    if need.layer == 0:
        return preview_reader(layers, layer, attention_module, rotary=need.rotary)
    if need.query == "last":
        return install(attention_module(layers[layer]), -1)
    return install(attention_module(layers[layer]), reads=whole_call)


def attention_module(layer: nn.Module) -> nn.Module:
    """The attention module of a layer."""
    return next(module for module in layer.modules() if type(module).__name__.endswith("Attention"))


def _encoder_layer(need: Need, adapter: Adapter, config: Any, modality: str) -> int:
    """Numbered layer of an encoder need: None is the projector's, negative counts hidden states from the end."""
    if need.layer is None:
        return adapter.selected_layer(config, modality)
    depth = adapter.encoder_depth(config, modality)
    return need.layer - 1 if need.layer >= 0 else depth + need.layer


def carried_out(compression: Compression, features: torch.Tensor) -> torch.Tensor | None:
    """The features that replace the kept ones, (M, K, D), or None for a pure drop, which changes none."""
    return None if compression.assign is None else merged(features, compression)
