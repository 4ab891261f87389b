"""Later turns of a conversation: what they read from the cache, and what a query-aware pass computes again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.graph import Graph, Placed, Stage
from ..ir.site import Site
from . import flow

if TYPE_CHECKING:
    from .model import CostModel

_ORDER = {"encoder": 0, "projector": 1, "decoder": 2, "head": 3}


def later_turn_ms(model: CostModel, graph: Graph, *, turn: int) -> float:
    """Time to the first token of turn `turn` (2, 3, ...) of a conversation about the same media.

    Such a turn feeds its text over the cache of all before it. Where a pass chooses by the question
    (`Placed.query_aware`), what it chose for another question is of no use: from its stage on the request is run anew,
    the earlier turns' tokens with it, and every pass from there on chooses again. Stages before it keep their
    features.

    Example: a plan with fastv at decoder.layers.2 prefills the whole decoder in every turn, one with divprune at
    image.projector.output only the new text.
    """
    before = (turn - 1) * (graph.workload.new_tokens + graph.workload.text_tokens)
    aware = [item for item in graph.placed if item.query_aware]
    if not aware:
        return sum(_continued_ms(model, graph, s, before) for s in graph.stages if flow.decodes(s))
    first = min(_stage_of(item) for item in aware)
    again = [item for item in graph.placed if _stage_of(item) >= first]
    stages = (s for s in graph.stages if _ORDER[s.role] >= first)
    work = sum(flow.placed_ms(model.pricer, graph, item) for item in again)
    return work + sum(_again_ms(model, graph, stage, before) for stage in stages)


def conversation_ms(model: CostModel, graph: Graph, *, ttft_ms: float, tpot_ms: float) -> float:
    """Time of all turns of the workload, `ttft_ms` being that of the first; answers are of equal length."""
    work = graph.workload
    later = sum(later_turn_ms(model, graph, turn=turn) for turn in range(2, work.turns + 1))
    return ttft_ms + later + work.turns * max(work.new_tokens - 1, 0) * tpot_ms


def _continued_ms(model: CostModel, graph: Graph, stage: Stage, before: int) -> float:
    """One run of `stage` over a turn's new text, whose tokens attend to the cache of what came `before`."""
    text = max(graph.workload.text_tokens, 1)
    held = flow.cached_counts(graph, stage) + before
    tokens = 1 if stage.role == "head" else text
    return _stage_ms(model, graph, stage, np.full(len(held), tokens), np.maximum(held, tokens))


def _again_ms(model: CostModel, graph: Graph, stage: Stage, before: int) -> float:
    """One run of `stage` from the start, with the tokens of earlier turns behind those of the first."""
    counts = flow.prefill_counts(stage) + (before if stage.role == "decoder" else 0)
    return _stage_ms(model, graph, stage, counts, counts)


def _stage_ms(model: CostModel, graph: Graph, stage: Stage, tokens: Any, context: Any) -> float:
    sequences, device = stage.sequences * graph.workload.batch, 0.0
    for group in flow.layer_groups(stage):
        members = list(group.members)
        counts = {"tokens": tokens[members], "context": context[members]}
        device += float(model.pricer.ops_ms(group.ops, batch=sequences, **counts).sum())
    return float(model.pricer.joined_ms(device, calls=flow.calls(stage), runs=1, part=stage.role))


def _stage_of(item: Placed) -> int:
    """Place in the flow of the first stage that a placement changes."""
    kind = Site.parse(item.placement.site).kind
    return {"input": 0, "encoder.layer": 0, "encoder.layer.mid": 0, "encoder.output": 1}.get(kind, 2)
