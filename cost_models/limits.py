"""Amdahl's law for a token flow: what compression at each site could gain at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..common.errors import BadInput
from ..ir.graph import Graph
from ..ir.site import Site
from .table import predict_many

if TYPE_CHECKING:
    from .model import CostModel

IntArray = NDArray[np.int64]


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
    small, is faster.

    Raises:
        BadInput: the graph has placements, which already took some of the gain.
    """
    if graph.placed:
        raise BadInput("limits are counted from the uncompressed model; give the graph as it was traced.")
    sites = graph.sites()
    base = np.array(graph.decoder.tokens)
    rows = np.stack([base, *(_without_media(graph, base, site) for site in sites)])
    uncompressed, *left = predict_many(model, graph, rows).ttft_ms.tolist()
    stages = {stage.name: model.stage_ms(graph, stage) for stage in graph.stages if stage.role != "decoder"}
    longest = max(stages, key=lambda name: stages[name], default="")
    note = f", {longest} alone takes {100 * stages[longest] / uncompressed:.0f} %" if longest else ""
    return tuple(_limit(str(site), rest / uncompressed, note) for site, rest in zip(sites, left, strict=True))


def _without_media(graph: Graph, tokens: IntArray, site: Site) -> IntArray:
    """Decoder counts with every token that a pass at `site` could remove gone."""
    modalities = [site.modality] if site.modality else list(graph.layouts)
    removed = sum(graph.layouts[modality].count * graph.media(modality) for modality in modalities)
    start = graph.decoder.first + (site.layer or 0)  # as Graph.place counts: embeddings are laid out at full length
    return np.where(np.arange(len(tokens)) >= start, np.maximum(tokens - removed, 1), tokens)


def _limit(site: str, stays: float, note: str) -> Limit:
    reason = f"{100 * stays:.0f} % of the time to first token stays{note}"
    return Limit(site, 1 / stays, stays, f"nothing at {site} can beat {1 / stays:.1f}x here: {reason}")
