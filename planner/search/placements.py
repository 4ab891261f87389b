"""From a decision and a number of dropped tokens to the placements of a plan."""

from __future__ import annotations

from collections.abc import Iterator

from ...ir.graph import Graph
from ...ir.layout import kept_count
from ...ir.placement import Placement
from ...passes import REGISTRY
from ...runtime import resolve
from .decision import Decision, Step


def placements_of(graph: Graph, decision: Decision, dropped: int) -> tuple[Placement, ...]:
    """The placements that leave N - `dropped` tokens of the largest medium, others in proportion.

    Every modality ends with the same fraction, wherever its steps act. A placement that would keep everything is left
    out; a pass that withdraws keeps none.
    """
    total = largest(graph)
    made: tuple[Placement, ...] = ()
    for number, step in enumerate(decision.steps):
        before, after = (_remaining(graph, decision, step, end, dropped / total) for end in (number, number + 1))
        for stage, place in enumerate(step.places, start=1):
            # Stages keep the same fraction each, so the remaining tokens fall geometrically from stage to stage.
            fraction = after if stage == len(step.places) else before * (after / before) ** (stage / len(step.places))
            made += tuple(_at(graph, step, place, fraction, made))
    return made


def largest(graph: Graph) -> int:
    """Compressible tokens of the largest medium, N."""
    return max(layout.count for layout in graph.layouts.values())


def modalities_of(graph: Graph, step: Step) -> tuple[str, ...]:
    """The modalities of the graph that a step acts on."""
    taken = REGISTRY.get(step.method).modalities
    return tuple(m for m in graph.layouts if m in taken and step.modality in (None, m))


def fraction_of(count: int, total: int) -> float:
    """The shortest decimal fraction that keeps `count` of `total`.

    >>> fraction_of(84, 256)
    0.33
    """
    for digits in range(2, 9):
        keep = round(count / total, digits)
        if 0 < keep <= 1 and kept_count(total, keep) == count:
            return keep
    return count / total


def _remaining(graph: Graph, decision: Decision, step: Step, end: int, part: float) -> float:
    """The fraction that is left after the first `end` steps of those that share a modality with `step`."""
    scope = set(modalities_of(graph, step))
    pairs = [(s, w) for s, w in zip(decision.steps, decision.shares, strict=True) if scope & {*modalities_of(graph, s)}]
    first = sum(weight for other, weight in pairs if decision.steps.index(other) < end)
    return 1 - part * first / (sum(weight for _, weight in pairs) or 1.0)


def _at(graph: Graph, step: Step, place: str, fraction: float, earlier: tuple[Placement, ...]) -> Iterator[Placement]:
    """The placements of one stage that leave `fraction` of what the model sees uncompressed."""
    scope = modalities_of(graph, step)
    if not scope:
        return
    group = str(step) if len(step.places) > 1 else None
    for modality in (None,) if place.startswith("decoder") else scope:
        keep = _keep(graph, step, fraction, earlier, (modality,) if modality else scope)
        only = scope if modality is None and len(scope) < len(graph.layouts) else None
        if keep < 1:
            site = place if modality is None else f"{modality}.{place}"
            yield Placement(step.method, site, keep, modality=only, group=group)


def _keep(graph: Graph, step: Step, fraction: float, earlier: tuple[Placement, ...], scope: tuple[str, ...]) -> float:
    """The part of what arrives that leaves `fraction` of the largest medium of `scope`, as it arrives."""
    if REGISTRY.get(step.method).withdraws:
        return 0.0 if fraction < 1 else 1.0
    modality = max(scope, key=lambda name: graph.layouts[name].count)
    total = graph.layouts[modality].count
    placed = [item for item in resolve(graph, earlier).placed if item.modality == modality] if earlier else []
    arriving = placed[-1].tokens_out if placed else total
    wanted = max(1, min(arriving, round(total * fraction)))
    return fraction_of(wanted, arriving) if arriving else 1.0
