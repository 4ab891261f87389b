"""What of a plan is emitted: each placement's shapes and its chain, or why it runs from the library."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

from ...ir.graph import Graph
from ...ir.layout import Layout
from ...ir.placement import Placement
from ...ir.placing import patches_per_unit
from ...ir.plan import Plan
from ...ir.signal import Need
from ...ir.site import Site
from ...passes import Pass, create
from ...passes.cache_base import CachePass
from ..encoder.counts import encoder_count, encoder_width, tiles_of
from ..resolve import resolve
from .chains import Chain, chain_of, why_not


@dataclass(frozen=True)
class EmittedSite:
    """One placement for one modality.

    Attributes:
        number: its place among all, in order of flow; functions of the module end in it.
        before, after: layouts of one medium; inside an encoder those of what it takes at once, such as one tile, in
            units of its stream. width: channels D. media: how many the plan's request has of them.
        chain: None where it runs from the library, for `reason`.
        heads: how many key heads the attention has whose keys it reads, and the channels of each. texts: how many text
            tokens a medium of the plan's request has; the functions take any number.
    """

    number: int
    placement: Placement
    modality: str
    before: Layout
    after: Layout
    width: int
    media: int
    chain: Chain | None
    reason: str | None
    heads: tuple[int, int] = (1, 1)
    texts: int = 1

    @property
    def in_encoder(self) -> bool:
        """Whether it acts on units of an encoder's stream."""
        return Site.parse(self.placement.site).kind.startswith("encoder")


def emitted_sites(graph: Graph, plan: Plan) -> tuple[EmittedSite, ...]:
    """Every placement of `plan` on `graph`, for each modality that it acts on, in order of flow.

    Raises:
        BadInput: as `resolve`.
    """
    layouts, found = dict(graph.layouts), list[EmittedSite]()
    for placed in resolve(graph, plan).placed:
        method = create(placed.placement.method, placed.placement.params)
        before = layouts.get(placed.modality, Layout(placed.tokens_in))
        in_encoder = Site.parse(placed.placement.site).kind.startswith("encoder")
        count = partial(encoder_count, graph, placed.modality, method) if in_encoder else method.count
        after = count(before, placed.placement.keep)
        after = after if after.count == placed.tokens_out else replace(before, count=placed.tokens_out, grid=None)
        make = _in_encoder if in_encoder else _behind_encoder
        found.append(make(graph, placed.placement, placed.modality, before, after, number=len(found)))
        if not isinstance(method, CachePass):
            layouts[placed.modality] = after
    return tuple(found)


def _behind_encoder(
    graph: Graph, placement: Placement, modality: str, before: Layout, after: Layout, *, number: int
) -> EmittedSite:
    """A placement on what reaches the decoder: whole media in the decoder's width."""
    method, kind = create(placement.method, placement.params), Site.parse(placement.site).kind
    chain, reason = _chain(method, before, after)
    if isinstance(method, CachePass):
        chain, reason = None, why_not(method, before, after)
    elif kind == "input":
        chain, reason = None, f"it acts at {placement.site}, on the input and not on tokens"
    sizes = (graph.decoder.width, max(1, graph.media(modality)))
    heads, texts = _heads_read(graph, method.needs(before), modality), max(1, graph.workload.text_tokens)
    return EmittedSite(number, placement, modality, before, after, *sizes, chain, reason, heads, texts)


def _in_encoder(
    graph: Graph, placement: Placement, modality: str, before: Layout, after: Layout, *, number: int
) -> EmittedSite:
    """A placement on units of an encoder's stream, in the pieces in which it takes a medium."""
    pieces, heads = tiles_of(graph, modality), _heads(graph, f"{modality}.encoder")
    first, last = (_piece(layout, pieces, _prefix(graph, modality)) for layout in (before, after))
    chain, reason = _chain(create(placement.method, placement.params), first, last)
    sizes = (encoder_width(graph, modality), max(1, graph.media(modality)) * pieces)
    return EmittedSite(number, placement, modality, first, last, *sizes, chain, reason, heads)


def _chain(method: Pass, before: Layout, after: Layout) -> tuple[Chain | None, str | None]:
    chain = chain_of(method, before, after)
    return chain, None if chain is not None else why_not(method, before, after)


def _piece(layout: Layout, pieces: int, prefix: int) -> Layout:
    """One of the equal tiles of a medium, square where it can be, or the medium itself."""
    if pieces == 1 or layout.count % pieces:
        return replace(layout, prefix=prefix)
    count = layout.count // pieces
    side = math.isqrt(count)
    grid = (1, side, side) if layout.grid is not None and side * side == count else None
    return Layout(count, grid, prefix)


def _prefix(graph: Graph, modality: str) -> int:
    """Tokens that stand before the units of each sequence of an encoder, such as [CLS]."""
    encoder = graph.stage(f"{modality}.encoder")
    units = graph.layouts[modality].count * max(1, graph.media(modality)) * patches_per_unit(graph, modality)
    return max(0, encoder.tokens[encoder.first] - units // max(1, encoder.sequences))


def _heads_read(graph: Graph, needs: tuple[Need, ...], modality: str) -> tuple[int, int]:
    """Key heads of the attention whose keys are among the needs, and the channels of each; (1, 1) where none are."""
    stages = {need.stage for need in needs if need.signal == "key"}
    if not stages:
        return 1, 1
    if "encoder" in stages:
        return _heads(graph, f"{modality}.encoder")
    heads, width = _heads(graph, graph.decoder.name)
    # Keys and values, side by side in the cache; fewer heads than queries have where those share them.
    return graph.decoder.key_value_width // (2 * width) or heads, width


def _heads(graph: Graph, stage: str) -> tuple[int, int]:
    """Key heads of a stage's attention, and the channels of each; encoders share none between queries."""
    ops = (op for _, op in graph.stage(stage).ops() if op.kind == "attention")
    return next(((max(1, op.outer), op.inner) for op in ops), (1, 1))
