"""The Pareto front of latency and value: what every other measured plan is beaten by on both counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class FrontPoint:
    """A measured plan.

    Attributes:
        placements: in words. ttft: predicted, as a part of the uncompressed model's. value: fidelity or task metric on
            the calibration samples.
    """

    placements: str
    ttft: float
    value: float


def pareto(points: Iterable[FrontPoint]) -> tuple[FrontPoint, ...]:
    """The points that no other one beats in latency without losing value, fastest first.

    >>> a, b, c = FrontPoint("a", 0.5, 0.9), FrontPoint("b", 0.6, 0.95), FrontPoint("c", 0.7, 0.94)
    >>> [point.placements for point in pareto([c, b, a])]
    ['a', 'b']
    """
    found: list[FrontPoint] = []
    for point in sorted(points, key=lambda p: (p.ttft, -p.value, p.placements)):
        if not found or point.value > found[-1].value:
            found.append(point)
    return tuple(found)
