"""Placements on a graph: what each kind of site does to the token counts of the stages after it; nothing is run.

`PLACERS` has one function for each kind of site. A function gets the graph and one resolved placement and returns the
graph with the counts propagated; the order along the flow and the bookkeeping are `place`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..common.errors import BadInput
from .caching import on_cache
from .encoder_sites import PROJECTED_WHOLE
from .graph import CROSS_ATTENTION
from .site import Site

if TYPE_CHECKING:
    from .graph import Graph, Placed, Stage

Placer = Callable[["Graph", "Placed"], "Graph"]


def place(graph: Graph, placed: Sequence[Placed]) -> Graph:
    """See `Graph.place`."""
    if graph.placed:
        raise BadInput("this graph has placements already; place all of them at once on the graph as it was traced")
    arriving = {modality: layout.count for modality, layout in graph.layouts.items()}
    for item in sorted(placed, key=lambda p: Site.parse(p.placement.site).depth):
        if item.tokens_in != arriving[item.modality] or not 0 <= item.tokens_out <= item.tokens_in:
            counts = f"{item.tokens_in} to {item.tokens_out} tokens where {arriving[item.modality]} arrive"
            raise BadInput(f"{item.placement.label()}: {counts}; resolve the plan anew for this workload")
        arriving[item.modality] = item.tokens_out
        site = graph.require_site(item.placement.site)
        graph = replace(PLACERS[site.kind](graph, item), placed=(*graph.placed, item))
    return graph


def with_stage(graph: Graph, changed: Stage) -> Graph:
    """The graph with the stage of the same name replaced."""
    return replace(graph, stages=tuple(changed if s.name == changed.name else s for s in graph.stages))


def in_input(graph: Graph, item: Placed) -> Graph:
    """`input`: the encoder, the projector and the decoder see fewer tokens."""
    from .placing_inputs import shortened_stages

    return in_decoder(shortened_stages(graph, item), item)


def in_decoder(graph: Graph, item: Placed) -> Graph:
    """`projector.output` and `decoder.layer`: the decoder's layers from the site on hold fewer tokens."""
    if not graph.in_sequence(item.modality):
        return graph
    removed = (item.tokens_in - item.tokens_out) * graph.media(item.modality)
    site, decoder = Site.parse(item.placement.site), graph.decoder
    start = decoder.first + (site.layer or 0 if site.kind == "decoder.layer" else 0)
    tokens = tuple(t - removed if i >= start else t for i, t in enumerate(decoder.tokens))
    return with_stage(graph, replace(decoder, tokens=tokens))


def in_encoder(graph: Graph, item: Placed) -> Graph:
    """`encoder.layer`, `encoder.layer.mid` and `encoder.output`: later encoder layers, the projector and the decoder.

    Counts of an encoder site are in units of the decoder's tokens: one unit is the whole group of patches that becomes
    one of them. Between attention and MLP of a layer, that layer is counted with all tokens. A stage that needs the
    grid back sees every place again, and so does what follows it up to the decoder's input.
    """
    encoder = graph.stage(f"{item.modality}.encoder")
    site = Site.parse(item.placement.site)
    removed = item.tokens_in - item.tokens_out
    start = _first_after(encoder, site)
    if start < len(encoder.layers):
        lost = _in_sequence(graph, encoder, removed * patches_per_unit(graph, item.modality))
        tokens = tuple(t - lost if i >= start else t for i, t in enumerate(encoder.tokens))
        whole = encoder.leaving is None or encoder.leaving != encoder.tokens[-1]
        leaving = encoder.leaving if whole else tokens[-1]
        graph = with_stage(graph, replace(encoder, tokens=tokens, leaving=leaving))
    return in_decoder(_in_projector(graph, item.modality, removed), item)


def _first_after(encoder: Stage, site: Site) -> int:
    """Index of the encoder's first layer that runs on what a site inside it or at its output keeps."""
    if site.kind == "encoder.output":
        across = (i for i, layer in enumerate(encoder.layers) if layer.name == CROSS_ATTENTION)
        return next(across, len(encoder.layers))
    return encoder.first + (site.layer or 0) + (site.kind == "encoder.layer.mid")


def patches_per_unit(graph: Graph, modality: str) -> int:
    """Encoder tokens that become one token of the decoder: 1, or the size of a merge group."""
    encoder, count = graph.stage(f"{modality}.encoder"), graph.layouts[modality].count
    count = next((p.tokens_out for p in graph.placed if p.placement.site == f"{modality}.input"), count)
    units = max(1, count * graph.media(modality))
    return max(1, encoder.sequences * encoder.tokens[encoder.first] // units)


def _in_projector(graph: Graph, modality: str, removed: int) -> Graph:
    """A pointwise projector and a merger of groups run on what is kept; one that needs the grid runs on all."""
    projector = next((s for s in graph.stages if s.name == f"{modality}.projector"), None)
    whole = graph.model_type in PROJECTED_WHOLE
    if projector is None or whole or projector.mixing not in ("pointwise", "group"):
        return graph
    units = _in_sequence(graph, projector, removed)
    lost = units if projector.mixing == "pointwise" else units * patches_per_unit(graph, modality)
    tokens = (*projector.tokens[:-1], projector.tokens[-1] - lost)
    leaving = None if projector.leaving is None else projector.leaving - units
    return with_stage(graph, replace(projector, tokens=tokens, leaving=leaving))


def _in_sequence(graph: Graph, stage: Stage, tokens: int) -> int:
    """How many of `tokens` of each medium fall on one sequence of the stage; media cut in tiles share them evenly."""
    return round(tokens * graph.media(stage.modality or "") / max(1, stage.sequences))


PLACERS: dict[str, Placer] = {
    "input": in_input,
    "encoder.layer": in_encoder,
    "encoder.layer.mid": in_encoder,
    "encoder.output": in_encoder,
    "projector.output": in_decoder,
    "decoder.layer": in_decoder,
    "decoder.cache": on_cache,
}
