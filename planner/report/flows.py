"""The token flow of a plan's model before and after compression, from the plan and from a traced graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.site import Site
from ...runtime import resolve
from .content import Costed, Flow, StageFlow

if TYPE_CHECKING:
    from ...ir.graph import Graph
    from ...ir.plan import Plan

_SAME = 0.02
"""How far a cost model may be from the plan's own uncompressed TTFT and still count as the one it was made with."""


def flows_of(plan: Plan, costed: Costed | None) -> tuple[Flow | None, Flow | None, str | None]:
    """The flow before and after, None where it is not known, and a sentence about what is missing.

    Times after compression are the plan's own where it states them; times before are the cost model's, if that agrees
    with the plan about the uncompressed model.
    """
    stated = {} if plan.predicted is None else {stage.name: stage.ms for stage in plan.predicted.stages}
    total = None if plan.predicted is None else plan.predicted.ttft_ms
    if costed is None:
        return None, _stated(plan), "No model was given, so the flow before compression is not shown; give --model."
    after = resolve(costed.graph, plan)
    times, ttft, why = _before(plan, costed)
    if not stated and costed.cost is not None:
        found = costed.cost.predict(after)
        stated, total = {stage.name: stage.ms for stage in found.stages}, found.ttft_ms
    return (
        Flow("Before", _stages(costed.graph, times), ttft),
        Flow("After", _stages(after, stated), total),
        why,
    )


def _before(plan: Plan, costed: Costed) -> tuple[dict[str, float], float | None, str | None]:
    """Times of the uncompressed stages, their sum, and why they are missing."""
    baseline = None if plan.predicted is None else plan.predicted.baseline_ttft_ms
    if costed.cost is None:
        name = "unnamed" if plan.device is None else plan.device.name
        return {}, baseline, f"The profile of the device {name} is not at hand, so stages before have no times."
    found = costed.cost.predict(costed.graph)
    if baseline is not None and abs(found.ttft_ms / baseline - 1.0) > _SAME:
        why = (
            f"The device profile predicts {found.ttft_ms:.4g} ms for the uncompressed model where the plan says "
            f"{baseline:.4g} ms: it is not the one that the plan was made with, so stages before have no times."
        )
        return {}, baseline, why
    return {stage.name: stage.ms for stage in found.stages}, baseline or found.ttft_ms, None


def _stated(plan: Plan) -> Flow | None:
    """The flow after compression as far as the plan file tells it."""
    if plan.predicted is None or not plan.predicted.stages:
        return None
    stages = tuple(StageFlow(s.name, (s.tokens,), s.ms) for s in plan.predicted.stages)
    return Flow("After", stages, plan.predicted.ttft_ms)


def _stages(graph: Graph, times: dict[str, float]) -> tuple[StageFlow, ...]:
    marks: dict[str, list[tuple[int, str]]] = {}
    for number, item in enumerate(graph.placed):
        where, layer = _place(graph, item.placement.site, item.modality)
        marks.setdefault(where, []).append((layer, chr(ord("A") + number % 26)))
    return tuple(
        StageFlow(
            stage.name,
            tuple(stage.sequences * (1 if stage.role == "head" else count) for count in stage.tokens),
            times.get(stage.name),
            tuple(dict.fromkeys(marks.get(stage.name, ()))),
        )
        for stage in graph.stages
    )


def _place(graph: Graph, text: str, modality: str) -> tuple[str, int]:
    """The stage in front of one of whose layers a site stands, and that layer's place in the stage."""
    site, names = Site.parse(text), [stage.name for stage in graph.stages]
    if site.kind == "encoder.output" and f"{modality}.projector" in names:
        return f"{modality}.projector", 0
    if site.kind in ("input", "encoder.layer", "encoder.layer.mid") and f"{modality}.encoder" in names:
        first = graph.stage(f"{modality}.encoder").first
        behind = site.kind == "encoder.layer.mid"  # drawn where the count changes
        return f"{modality}.encoder", 0 if site.kind == "input" else first + (site.layer or 0) + behind
    if site.kind == "decoder.cache":
        return "decoder", len(graph.decoder.tokens)
    return "decoder", graph.decoder.first + (site.layer or 0)
