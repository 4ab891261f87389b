"""From a live model and the placements of one modality to the module that is exported."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from ...common.errors import BadInput
from ...ir.layout import Layout
from ...ir.placement import Placement
from ...ir.site import Site
from ..adapters import Adapter, adapter_of
from ..adaptive import require_counts
from ..encoder.sites import EncoderSites
from ..sites import LiveSite, live_site, release
from .compressed_encoder import CompressedEncoder
from .smaller_input import SmallerInput


@contextmanager
def compressed_encoder(
    model: Any, placements: Sequence[Placement], *, modality: str, inputs: Mapping[str, torch.Tensor]
) -> Iterator[tuple[CompressedEncoder, torch.Tensor]]:
    """The encoder, projector and compression of a modality as one module, and its (M, ...) features in `inputs`.

    While the context lasts, attention modules that passes read are tapped; after it the model is as it was.

    Raises:
        BadInput: media of different sizes, a placement with `adaptive: true`, a family whose features are not one
            tensor with an entry for each medium, or a pass that reads the decoder.
    """
    require_counts(placements, "an export")
    adapter = adapter_of(model.config)
    media = adapter.media(model.config, inputs)[modality]
    if len(set(media)) > 1:
        raise BadInput(f"the request's {modality} media have different sizes; export for one size")
    name, features = _features(model, modality, inputs, len(media))
    sites: list[LiveSite] = []
    handles: list[Any] = []
    try:
        for placement in placements:
            sites.append(live_site(placement, model, adapter, model.config))
        first = [site for site in sites if _kind(site) == "input"]
        within = [site for site in sites if _kind(site).startswith("encoder")]
        behind = [site for site in sites if _kind(site) == "projector.output"]
        _require_readable(behind, within)
        smaller = SmallerInput(first[0], model, adapter, modality, media[0]) if first else None
        inside = _hooked(model, adapter, modality, within, handles, smaller=None if smaller is None else smaller.layout)
        with torch.no_grad(), nullcontext() if smaller is None else smaller.interpolating():
            given = features if smaller is None else smaller(features)
            encoded = adapter.encode(model, modality, {name: given})
        _require_rows(inside, len(media), media[0].layout.count if smaller is None else smaller.layout.count)
        made = CompressedEncoder(
            model,
            adapter,
            modality,
            name=name,
            medium=media[0],
            smaller=smaller,
            inside=inside,
            sites=behind,
            encoded=encoded,
        )
        yield made.eval(), features
    finally:
        for handle in handles:
            handle.remove()
        for site in sites:
            release(site)


def _features(model: Any, modality: str, inputs: Mapping[str, torch.Tensor], media: int) -> tuple[str, torch.Tensor]:
    """The one argument that holds a modality's features, with an entry for each medium.

    Raises:
        BadInput: the family takes more than that: grids, sizes or masks that its code computes shapes from.
    """
    base = getattr(model, "base_model", model)
    method = f"get_{modality}_features"
    taken = inspect.signature(getattr(base if hasattr(base, method) else model, method)).parameters
    given = {name: value for name, value in inputs.items() if name in taken and value is not None}
    name = next(iter(given), None)
    if len(given) != 1 or name is None or len(given[name]) != media:
        named = ", ".join(given) or "nothing"
        raise BadInput(
            f"the {modality} encoder of {model.config.model_type} cannot be exported: its shapes follow from {named}, "
            "and ONNX models here take one tensor with an entry for each medium"
        )
    return name, given[name]


def _kind(site: LiveSite) -> str:
    return Site.parse(site.placement.site).kind


def _hooked(
    model: Any,
    adapter: Adapter,
    modality: str,
    sites: list[LiveSite],
    handles: list[Any],
    *,
    smaller: Layout | None,
) -> EncoderSites | None:
    """The placements inside the encoder, hooked into it; their handles are added to `handles`."""
    if not sites:
        return None
    inside = EncoderSites(model, adapter, modality, sites, forced=False, encoding=lambda: None, smaller=lambda: smaller)
    handles += inside.hook()
    return inside


def _require_rows(inside: EncoderSites | None, media: int, count: int) -> None:
    """Refuse encoders that take several rows for a medium, or several media in one: rows are what stays free."""
    run = None if inside is None else inside.run
    if run is not None and run.compressed:
        groups = run.opened.groups
        if len(groups) != 1 or run.opened.rows != media or groups[0].units.layout.count != count:
            raise BadInput(
                "the encoder takes its media in parts or all in one row, so passes inside it cannot be exported with "
                "a free number of media; place them at the projector's output"
            )


def _require_readable(sites: Sequence[LiveSite], inside: Sequence[LiveSite]) -> None:
    """Refuse passes behind the encoder that read the decoder, or layers of which other passes drop tokens."""
    for site in sites:
        read = sorted({str(need.signal) for need in site.taps if need.stage != "encoder"})
        if read:
            raise BadInput(
                f"{site.placement.label()} cannot be exported: it reads {', '.join(read)} of the decoder, which an "
                "encoder's model does not hold"
            )
        if inside and site.taps:
            raise BadInput(
                f"{site.placement.label()} cannot be exported: it reads the encoder, in which "
                f"{inside[0].placement.label()} drops tokens"
            )
