"""Amdahl's law for a token flow: what compression at each site could gain at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..common.errors import BadInput
from ..ir.graph import Graph, Placed
from ..ir.placement import Placement
from ..ir.site import Site

if TYPE_CHECKING:
    from .model import CostModel, Prediction


@dataclass(frozen=True)
class Limit:
    """The most that compression at one site can gain.

    Attributes:
        site: text form of the site.
        speedup: TTFT of the uncompressed model over TTFT with every compressible token gone at the site for free.
        stays: share of the uncompressed TTFT that is left then.
        words: the same in one sentence.
    """

    site: str
    speedup: float
    stays: float
    words: str


def limits(model: CostModel, graph: Graph) -> tuple[Limit, ...]:
    """The limit of every site of `graph`, in order of flow (Amdahl 1967, doi:10.1145/1465482.1465560).

    What runs before the site, and the tokens that are no medium's, stay whatever a pass does there; no keep, however
    small, is faster. A cache pass acts after the first token, so the cache is no site here.

    Raises:
        BadInput: the graph has placements, which already took some of the gain.
    """
    if graph.placed:
        raise BadInput("limits are counted from the uncompressed model; give the graph as it was traced.")
    uncompressed = model.predict(graph).ttft_ms
    sites = [site for site in graph.sites() if site.kind != "decoder.cache"]
    return tuple(_limit(str(site), model.predict(_without_media(graph, site)), uncompressed) for site in sites)


def _without_media(graph: Graph, site: Site) -> Graph:
    """The graph with every token that a pass at `site` could remove gone, at no cost."""
    modalities = [site.modality] if site.modality else [m for m in graph.layouts if graph.in_sequence(m)]
    counts = [(modality, graph.layouts[modality].count) for modality in modalities]
    return graph.place([Placed(Placement("limit", str(site), 0.0), modality, n, 0) for modality, n in counts])


def _limit(site: str, left: Prediction, uncompressed: float) -> Limit:
    stays = left.ttft_ms / uncompressed
    longest = max(left.stages, key=lambda stage: stage.ms)
    share = 100 * longest.ms / uncompressed
    reason = f"{100 * stays:.0f} % of the time to first token stays, {longest.name} alone takes {share:.0f} %"
    return Limit(site, 1 / stays, stays, f"nothing at {site} can beat {1 / stays:.1f}x here: {reason}")
