"""Resolving a plan against a traced graph: names become passes, keeps become counts, and each is priced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from ..common.errors import BadInput
from ..ir.graph import Graph, Placed
from ..ir.op import Op
from ..ir.placement import Placement
from ..ir.plan import Plan
from ..ir.polynomial import BATCH, CONTEXT, ROWS, as_polynomial
from ..ir.site import Site
from ..passes import create
from ..passes.cache_base import CachePass
from .cache.resolve import placed_on_cache
from .encoder.counts import encoder_count, encoder_width
from .inputs.support import check_change, check_shortened_sounds, frames_of, input_width
from .suiting import suited_to_graph


def resolve(graph: Graph, plan: Plan | Sequence[Placement]) -> Graph:
    """The graph with every placement of `plan` made: counts at each site and the compressors' own operations.

    Raises:
        BadInput: unknown pass, parameter or site, a modality that the workload lacks, or a keep out of range.
    """
    placements = plan.placements if isinstance(plan, Plan) else tuple(plan)
    check_shortened_sounds(graph.model_type, placements)
    layouts = dict(graph.layouts)
    placed: list[Placed] = []
    for placement in sorted(placements, key=lambda p: Site.parse(p.site).depth):
        site = graph.require_site(placement.site)
        method = create(placement.method, placement.params)
        if site.kind not in method.sites:
            raise BadInput(f"{placement.method} acts at {' or '.join(method.sites)}, not at {placement.site}")
        suited = suited_to_graph(graph, placement)
        method = create(suited.method, suited.params)
        if isinstance(method, CachePass):
            placed += placed_on_cache(graph, suited, method, placed=tuple(placed))
            continue
        for modality in placement.modalities(graph.layouts):
            before = layouts[modality]
            at_input, in_encoder = site.kind == "input", site.kind.startswith("encoder")
            kept = partial(encoder_count, graph, modality, method) if in_encoder else method.count
            after = layouts[modality] = kept(before, placement.keep)
            if at_input:
                check_change(graph, method, modality)
            width = input_width(graph, modality) if at_input else graph.decoder.width
            moved = encoder_width(graph, modality) if in_encoder else graph.decoder.width
            ops = method.ops(before, moved if in_encoder else width) + compaction_ops(moved)
            frames = (frames_of(before), frames_of(after)) if at_input else (1, 1)
            idle = after.count == before.count and not method.is_adaptive  # of which after.count is an upper bound
            counts = (before.count, after.count)
            placed.append(Placed(suited, modality, *counts, () if idle else ops, method.query_aware, frames))
    return graph.place(placed)


def resolved_plan(graph: Graph, plan: Plan) -> Plan:
    """The plan with `tokens_in` and `tokens_out` of each placement filled in, and what its pass leaves to the model.

    Raises:
        BadInput: as `resolve`.
    """
    placed = resolve(graph, plan).placed
    filled = []
    for placement in plan.placements:
        found = suited_to_graph(graph, placement)
        item = next(item for item in reversed(placed) if item.placement == found)
        filled.append(replace(found, tokens_in=item.tokens_in, tokens_out=item.tokens_out))
    return plan.with_placements(filled)


def compaction_ops(width: int) -> tuple[Op, ...]:
    """What the runtime adds to every placement: find the tokens that stay and gather hidden states and positions."""
    index = Op("compaction.index", "selection", flops=ROWS, elements=4 * ROWS, launches=as_polynomial(12))
    gather = Op(
        "compaction.gather", "gather", elements=width * ROWS + 2 * width * BATCH * CONTEXT, launches=as_polynomial(4)
    )
    return (index, gather)
