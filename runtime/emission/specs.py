"""What of a plan is emitted: each placement's shapes and its chain, or why it runs from the library."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...ir.graph import Graph
from ...ir.layout import Layout
from ...ir.placement import Placement
from ...ir.plan import Plan
from ...ir.site import Site
from ...passes import Pass, create
from ...passes.cache_base import CachePass
from ..resolve import resolve
from .chains import Chain, chain_of, why_not

_WHERE = ("projector.output", "decoder.layer")


@dataclass(frozen=True)
class EmittedSite:
    """One placement for one modality.

    Attributes:
        number: its place among all, in order of flow; functions of the module end in it.
        before, after: layouts of one medium. width: channels D. media: how many the plan's request has of them.
        chain: None where it runs from the library, for `reason`.
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


def emitted_sites(graph: Graph, plan: Plan) -> tuple[EmittedSite, ...]:
    """Every placement of `plan` on `graph`, for each modality that it acts on, in order of flow.

    Raises:
        BadInput: as `resolve`.
    """
    layouts, found = dict(graph.layouts), list[EmittedSite]()
    for placed in resolve(graph, plan).placed:
        method = create(placed.placement.method, placed.placement.params)
        before = layouts.get(placed.modality, Layout(placed.tokens_in))
        after = _after(method, before, placed.placement, placed.tokens_out)
        chain, reason = _chain(method, placed.placement, before, after)
        media = max(1, graph.media(placed.modality))
        sizes = (before, after, graph.decoder.width, media)
        found.append(EmittedSite(len(found), placed.placement, placed.modality, *sizes, chain, reason))
        if not isinstance(method, CachePass):
            layouts[placed.modality] = after
    return tuple(found)


def _after(method: Pass, before: Layout, placement: Placement, count: int) -> Layout:
    """The layout that remains; tiles may round otherwise, and what is left of them has no grid."""
    after = method.count(before, placement.keep)
    return after if after.count == count else replace(before, count=count, grid=None)


def _chain(method: Pass, placement: Placement, before: Layout, after: Layout) -> tuple[Chain | None, str | None]:
    kind = Site.parse(placement.site).kind
    if kind not in _WHERE:
        return None, f"it acts at {placement.site}, whose shapes are not those of the plan's media"
    chain = chain_of(method, before, after)
    return chain, None if chain is not None else why_not(method, before, after)
