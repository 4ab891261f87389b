"""What the search tries first: every pass alone, then the pairs that promise most where arithmetic puts them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from ..passes import REGISTRY
from .conflicts import discount
from .solver import Solution, Solver
from .space import Decision

PAIRS = 6
"""Pairs that are queued after the single passes."""

_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
_LAYERS = 8


@dataclass(frozen=True)
class Spot:
    """Where a pair acts: the decoder layer of its second pass, and its share between what is reachable and 1."""

    layer: int
    share: float


def analytic_spot(solver: Solver) -> Spot | None:
    """The layer and share that keep most of the early tokens at the budget, by arithmetic alone; None if none can.

    Maximises sum over decoder layers of (1 - l/D) log(tokens at layer l): tokens matter less the deeper the layer, and
    each halving costs alike. A heuristic that only says where the search begins.
    """
    space = solver.space
    stride = max(1, math.ceil(len(space.layers) / _LAYERS))
    if not space.first or not space.second:
        return None
    best: tuple[float, Spot] | None = None
    for layer, share in product(space.layers[::stride], _SHARES):
        decision = placed_at(solver, space.first[-1], space.second[-1], Spot(layer, share))
        found = None if decision is None else solver.solve(decision)
        if found is not None and found.feasible:
            worth = _kept_early(solver, found)
            best = (worth, Spot(layer, share)) if best is None or worth > best[0] else best
    return None if best is None else best[1]


def placed_at(solver: Solver, first: str, second: str, spot: Spot) -> Decision | None:
    """The pair at `spot`; None where no share reaches the budgets."""
    least = solver.least_share(first, second, spot.layer)
    return None if least is None else Decision(first, second, spot.layer, least + spot.share * (1 - least))


def promising_pairs(solver: Solver, singles: Mapping[Decision, float]) -> list[tuple[str, str]]:
    """Pairs of a projector and a decoder pass, best expectation first.

    With loss = -log(value) growing as the square of what a pass drops, two passes that each drop half lose
    (a + b) / 4; the gain over the better one alone is multiplied by the conflict table's discount.

    Args:
        singles: measured value of each pass alone at the budget.
    """
    losses = {decision: -math.log(max(value, 1e-9)) for decision, value in singles.items()}
    first = {d.first: loss for d, loss in losses.items() if d.second is None and d.first}
    second = {d.second: (loss, d) for d, loss in losses.items() if d.first is None and d.second}
    expected = []
    for (early, a), (late, (b, decision)) in product(first.items(), second.items()):
        pair = Decision(early, late, decision.layer, 0.5)
        if solver.space.allowed(pair):
            gain = min(a, b) - (a + b) / 4
            expected.append((min(a, b) - _discount(solver, pair) * gain, early, late))
    return [(early, late) for _, early, late in sorted(expected)]


def queue(spot: Spot | None, pairs: Sequence[tuple[str, str]]) -> list[dict[str, object]]:
    """Trial parameters for the first `PAIRS` of `pairs` at `spot`."""
    if spot is None:
        return []
    return [{"first": a, "second": b, "layer": spot.layer, "share": spot.share} for a, b in pairs[:PAIRS]]


def _discount(solver: Solver, pair: Decision) -> float:
    placements = solver.space.placements(pair, solver.space.tokens // 2)
    return discount(placements, REGISTRY.items(), solver.space.graph.workload)


def _kept_early(solver: Solver, solution: Solution) -> float:
    tokens = solver.resolved(solution.placements).cached_tokens()
    depth = len(tokens)
    return sum((1 - layer / depth) * math.log(count) for layer, count in enumerate(tokens))
