"""Signals of passes inside an encoder: what the attention and the MLP just before the site computed."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from ...common.errors import BadInput
from ...ir.class_token import has_class_token
from ...ir.layout import Layout
from ...ir.signal import Need
from ...ir.site import Site
from ...passes import Pass
from ..adapters.encoder_flow import EncoderFlow
from ..index_maps import gather_sequence
from ..reading.readers import Reader
from ..reading.signals import encoder_signal
from ..reading.taps import SegmentTap, Tap, install
from .layers import as_rows, second_half


def encoder_taps(method: Pass, site: Site, flow: EncoderFlow, *, label: str) -> dict[Need, Tap | Reader]:
    """The taps and readers of a pass placed at a site of an encoder.

    Raises:
        BadInput: it reads something else than what was computed just before the site, nothing was computed before it,
            or it reads [CLS] and the encoder has none.
    """
    found: dict[Need, Tap | Reader] = {}
    for need in method.needs(Layout(1)):
        if need.stage != "encoder" or not need.relative:
            raise BadInput(f"{label} reads {need.signal} of the {need.stage}, which no pass inside an encoder can see")
        layer = _layer_before(site, flow, need)
        if layer < 0:
            raise BadInput(f"{label} reads what ran before the site, and layer 0 is the first; choose a later one")
        if need.query == "cls" and not has_class_token(flow.encoder):
            raise BadInput(f"{label} reads the attention of [CLS], and this encoder has no [CLS] token")
        found[need] = _state_reader(flow.layers[layer]) if need.signal == "state" else _tap(flow.layers[layer], need)
    return found


def take(read: Any, places: torch.Tensor, need: Need) -> torch.Tensor:
    """A signal of units whose tokens stand at (m, K, p) flat places: attention summed, keys averaged over the tokens.

    Args:
        read: what a tap or reader holds: (R, P, ...) of the current states, or a list of its segments.

    Raises:
        BadInput: the encoder did not pass by the tap.
    """
    if read is None:
        raise BadInput(f"the encoder gave no {need.signal} where a pass of the plan reads it; remove that placement")
    values = torch.cat(read, dim=1) if isinstance(read, list) else read
    of_units = values.reshape(-1, *values.shape[2:])[places]
    if need.signal == "state":
        return of_units.flatten(2)
    return of_units.sum(dim=2) if need.signal.startswith("attention") else of_units.mean(dim=2)


def compacted(read: Any, index: torch.Tensor) -> Any:
    """What a tap or reader holds, for the tokens that remain after a step whose `index` is (R, Q)."""
    if read is None:
        return None
    return [gather_sequence(torch.cat(read, dim=1), index)] if isinstance(read, list) else gather_sequence(read, index)


def attention_of(layer: nn.Module) -> nn.Module:
    """The attention module of an encoder layer."""
    return next(module for module in layer.modules() if type(module).__name__.endswith("Attention"))


def _tap(layer: nn.Module, need: Need) -> Tap:
    return install(attention_of(layer), reads=partial(encoder_signal, need), kind=SegmentTap)


def _state_reader(layer: nn.Module) -> Reader:
    """Reads the states that enter a layer's second norm, before its MLP."""
    reader = Reader(None)

    def before_norm(norm: nn.Module, args: tuple[Any, ...]) -> None:
        reader.row = as_rows(args[0])

    reader.handle = second_half(layer)[0].register_forward_pre_hook(before_norm)
    return reader


def _layer_before(site: Site, flow: EncoderFlow, need: Need) -> int:
    """The layer in which the last attention, or MLP, before a site ran."""
    after = flow.last + 1 if site.kind == "encoder.output" else site.layer or 0
    inside = site.kind == "encoder.layer.mid" and need.signal != "state"
    return after if inside else after - 1
