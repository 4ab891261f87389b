"""Passes that could not be tried: each with the sentence in which the runtime refuses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...common.errors import BadInput
from ...ir.graph import Graph
from ...ir.placement import Placement
from ...ir.plan import Plan
from ...ir.site import Site
from ...passes import REGISTRY
from ...runtime import apply, resolve
from ..search.decision import Decision, Step, place_of
from ..search.placements import largest, placements_of
from ..search.space import Space

_WHERE = "placements[0]: "


def left_out(space: Space, passes: Sequence[str] | None = None, *, model: Any = None) -> dict[str, str]:
    """Why passes for the workload's media are absent from `space`, by name; what the rules forbid is not among them.

    Args:
        passes: those that were asked for, None all. model: a live model, which may refuse what its graph allows.
    """
    wanted = REGISTRY.names() if passes is None else tuple(dict.fromkeys(passes))
    absent = [name for name in wanted if name not in space.options and _takes(space.graph, name)]
    found = {name: _refusal(space.graph, name, model) for name in absent}
    return {name: reason for name, reason in found.items() if reason is not None}


def _refusal(graph: Graph, name: str, model: Any) -> str | None:
    """What the runtime says of a pass, None where it takes it."""
    cls = REGISTRY.get(name)
    able = [site for site in graph.sites() if site.kind in cls.sites and site.modality in (None, *cls.modalities)]
    if not able:
        return f"it acts at {' or '.join(cls.sites)}, and {graph.model} offers no such site"
    try:
        resolve(graph, _alone(graph, name, able[0]))
        if model is not None:  # at the last site, since layer 0 refuses whatever reads the layer before
            with apply(model, Plan.of(*_alone(graph, name, able[-1]))):
                pass
    except BadInput as refusal:
        return str(refusal).removeprefix(_WHERE).rstrip(".")
    return None


def _alone(graph: Graph, name: str, site: Site) -> tuple[Placement, ...]:
    """The pass at one site, half of the tokens kept."""
    return placements_of(graph, Decision.of(Step(name, (place_of(site),))), largest(graph) // 2)


def _takes(graph: Graph, name: str) -> bool:
    return bool(set(REGISTRY.get(name).modalities) & set(graph.layouts))
