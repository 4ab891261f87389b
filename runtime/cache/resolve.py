"""Resolving placements at `decoder.cache`: how many entries each layer lets go, and what that costs."""

from __future__ import annotations

from ...ir.caching import arriving_by_layer, caching_layers
from ...ir.graph import Graph, Placed
from ...ir.layout import Layout
from ...ir.placement import Placement
from ...passes.cache_base import CachePass


def placed_on_cache(
    graph: Graph, placement: Placement, method: CachePass, *, placed: tuple[Placed, ...]
) -> list[Placed]:
    """The placement's counts, one for each modality that it acts on; with scope `all` one for the whole sequence.

    Args:
        placed: what was placed before it. A sequence's counts are for one request without padding.
    """
    modalities = placement.modalities(graph.layouts)
    sequence = graph.place(placed).cached_tokens()
    found = []
    for modality in modalities[:1] if method.scope == "all" else modalities:
        media = arriving_by_layer(graph, modality, placed)
        arriving = sequence if method.scope == "all" else media
        number = 1 if method.scope == "all" else graph.media(modality)
        evicted = tuple(number * gone for gone in _evicted(graph, placement, method, arriving))
        before = media[-1]
        after = before if method.scope == "all" else method.count(Layout(before), placement.keep).count
        ops = method.ops(Layout(before), graph.decoder.key_value_width) * sum(gone > 0 for gone in evicted)
        found.append(Placed(placement, modality, before, after, ops, method.query_aware, evicted=evicted))
    return found


def _evicted(graph: Graph, placement: Placement, method: CachePass, arriving: tuple[int, ...]) -> tuple[int, ...]:
    """Entries that each numbered layer lets go of what it ran on."""
    layers = caching_layers(graph)
    gone = [0] * len(arriving)
    for rank, number in enumerate(layers):
        kept = method.layer_count(arriving[number], placement.keep, layer=rank, depth=len(layers))
        gone[number] = arriving[number] - kept
    return tuple(gone)
