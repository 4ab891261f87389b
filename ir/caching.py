"""What placements at `decoder.cache` do to a graph: the layers' caches let entries go after the prefill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..common.errors import BadInput
from .polynomial import Band

if TYPE_CHECKING:
    from .graph import Graph, Placed


def caching_layers(graph: Graph) -> tuple[int, ...]:
    """The numbered decoder layers that cache their whole past; those with a window hold a bounded part already."""
    decoder = graph.decoder
    numbered = decoder.layers[decoder.first : decoder.first + decoder.depth]
    attends = [[op for op in layer.ops if op.kind == "attention"] for layer in numbered]
    whole = [bool(ops) and not any(isinstance(op.flops, Band) for op in ops) for ops in attends]
    return tuple(number for number, found in enumerate(whole) if found and decoder.key_value_width)


def on_cache(graph: Graph, item: Placed) -> Graph:
    """`decoder.cache`: no stage runs on fewer tokens in the prefill; `Graph.cached_tokens` takes off `item.evicted`.

    Raises:
        BadInput: the counts are not of this decoder.
    """
    held = graph.cached_tokens()
    if len(item.evicted) != len(held) or any(gone > there for gone, there in zip(item.evicted, held, strict=True)):
        raise BadInput(f"{item.placement.label()}: evicted counts do not fit the decoder; resolve the plan anew")
    return graph


def arriving_by_layer(graph: Graph, modality: str, placed: tuple[Placed, ...]) -> tuple[int, ...]:
    """Tokens of one medium that each numbered decoder layer runs on after `placed`, which stand in order of flow."""
    from .site import Site

    counts = [graph.layouts[modality].count] * graph.decoder.depth
    for item in placed:
        if item.modality == modality:
            site = Site.parse(item.placement.site)
            start = site.layer or 0 if site.kind == "decoder.layer" else 0
            counts[start:] = [item.tokens_out] * (len(counts) - start)
    return tuple(counts)
