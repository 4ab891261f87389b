"""What a placement before an encoder asks of a model and of the other placements of its plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...common.errors import BadInput
from ...ir.graph import Graph
from ...ir.input_changes import input_changes
from ...ir.layout import Layout
from ...ir.placement import Placement
from ...ir.site import Site
from ...passes import Pass, create
from ...passes.input_pass import InputPass
from ..adapters import Adapter
from ..adapters.input_table import SOUNDS, why_not

_MEL_BANDS, _SPECTRA_PER_SECOND = 128, 100


def check_input_site(placement: Placement, adapter: Adapter, config: Any, where: str) -> None:
    """Refuse a placement at an input that the family cannot shorten, or not in the way of the pass.

    Raises:
        BadInput: the sentence says why and what to place instead.
    """
    site = Site.parse(placement.site)
    method = create(placement.method, placement.params)
    if site.kind != "input" or site.modality not in adapter.modalities:
        return
    changes = adapter.input_changes(config, site.modality)
    if not changes:
        reason = why_not(config, site.modality)
        raise BadInput(
            f"{where}: nothing can be placed at {site} of a {config.model_type} model: {reason}; "
            f"place a pass at {site.modality}.projector.output instead"
        )
    _require_change(method, where)
    if isinstance(method, InputPass) and method.change not in changes:
        raise BadInput(
            f"{where}: {placement.method} changes the {method.change} of the {site.modality} input, and a "
            f"{config.model_type} model lets only its {' and '.join(changes)} change"
        )


def check_shortened_sounds(model_type: str, placements: Sequence[Placement]) -> None:
    """Refuse passes that act in or read an encoder of sounds whose output is put back to its places behind it.

    Raises:
        BadInput: the sentence names both placements.
    """
    form = SOUNDS.get(model_type)
    shortened = next((p for p in placements if p.site == "audio.input"), None)
    if shortened is None or form is None or not form.scatters:
        return
    for number, placement in enumerate(placements):
        inside = placement.site.startswith("audio.encoder")
        needs = create(placement.method, placement.params).needs(Layout(1))
        if inside or (placement is not shortened and any(need.stage == "encoder" for need in needs)):
            verb = "acts in" if inside else "reads"
            raise BadInput(
                f"placements[{number}]: {placement.label()} {verb} the audio encoder, whose input {shortened.label()} "
                f"shortens; a {model_type} model takes only one of the two"
            )


def check_change(graph: Graph, method: Pass, modality: str) -> None:
    """Refuse a pass that changes what this model's input does not let change.

    Raises:
        BadInput: the sentence says what can be changed.
    """
    changes = input_changes(graph.model_type, modality)
    _require_change(method, "the plan")
    if isinstance(method, InputPass) and method.change not in changes:
        raise BadInput(
            f"{method.name} changes the {method.change} of the {modality} input, and a {graph.model_type} model lets "
            f"only its {' and '.join(changes)} change"
        )


def _require_change(method: Pass, where: str) -> None:
    if "input" in method.sites and not isinstance(method, InputPass):
        raise BadInput(
            f"{where}: {method.name} acts at an input and does not say what of it changes; derive it from InputPass "
            "(foveate.passes.input_pass), or let it act after the encoder"
        )


def input_width(graph: Graph, modality: str) -> int:
    """Input values behind one token: three colours of its pixels, or the mel bands of its frames of sound."""
    workload = graph.workload
    values = {
        "image": sum(3 * part.count * part.height * part.width for part in workload.images),
        "video": sum(3 * part.frames * part.height * part.width for part in workload.videos),
        "audio": round(sum(_MEL_BANDS * _SPECTRA_PER_SECOND * seconds for seconds in workload.audio_seconds)),
    }
    tokens = graph.layouts[modality].count * max(1, graph.media(modality))
    return max(1, values[modality] // max(1, tokens))


def frames_of(layout: Layout) -> int:
    """Frames of a medium."""
    return 1 if layout.grid is None else layout.grid[0]
