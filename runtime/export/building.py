"""From a live model and the placements of one modality to the module that is exported."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ...common.errors import BadInput
from ...ir.placement import Placement
from ..adapters import adapter_of
from ..adaptive import require_counts
from ..sites import LiveSite, live_site, release
from .compressed_encoder import CompressedEncoder


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
    try:
        for placement in placements:
            sites.append(live_site(placement, model, adapter, model.config))
            _require_readable(sites[-1])
        with torch.no_grad():
            encoded = adapter.encode(model, modality, {name: features})
        yield (
            CompressedEncoder(
                model, adapter, modality, name=name, medium=media[0], sites=sites, encoded=encoded
            ).eval(),
            features,
        )
    finally:
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


def _require_readable(site: LiveSite) -> None:
    inside = sorted({str(need.signal) for need in site.taps if need.stage != "encoder"})
    if inside:
        raise BadInput(
            f"{site.placement.label()} cannot be exported: it reads {', '.join(inside)} of the decoder, which an "
            "encoder's model does not hold"
        )
