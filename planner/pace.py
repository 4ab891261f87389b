"""The cost model's error on one model and machine, taken out of a search before it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import geometric_mean, median
from typing import Any

from ..ir.budget import Budget
from . import unmet
from .search.decision import NOTHING, Decision
from .search.solver import TIMES, Solution, Solver
from .settling import settle
from .verify import Finalist, correction

_YARDSTICK = "random"
"""The pass that is timed where it can act: it takes any count and costs next to nothing."""


def pace(solver: Solver, model: Any, inputs: Mapping[str, Any]) -> dict[str, float]:
    """Measured over predicted figure by budget, of plans that hold the budgets when measured; the median over sites.

    One pass at each kind of site is settled by the clock (`settling.settle`). Budgets on what no clock measures are
    left out.
    """
    candidates = yardsticks(solver) if any(budget.figure in TIMES for budget in solver.budgets) else []
    settled = settle(solver, candidates, model, inputs) if candidates else []
    found = {str(budget): _factors(solver, settled, budget) for budget in solver.budgets}
    return {budget: median(factors) for budget, factors in found.items() if factors}


def paced(solver: Solver, factors: Mapping[str, float]) -> Solver:
    """`solver` with limits that predictions hold where the clock would hold those of `solver`.

    Where that leaves nothing that is predicted to hold, or the uncompressed model holding what it did not hold,
    `solver` itself: finalists are settled by the clock anyway.
    """
    budgets = [_moved(budget, factors.get(str(budget), 1.0)) for budget in solver.budgets]
    return _able(solver.within(budgets), solver)


def pass_paced(solver: Solver, factors: Mapping[str, float], *, otherwise: Solver) -> Solver:
    """`solver` with the factors of `pass_pace`; `otherwise` where they leave nothing that is predicted to hold."""
    return _able(solver.at_pace(factors), otherwise)


def slowdown(solver: Solver, factors: Mapping[str, float]) -> float | None:
    """Measured over predicted figures by budget as one factor of time, the geometric mean; None without any."""
    found = [(budget, factors[str(budget)]) for budget in solver.budgets if str(budget) in factors]
    return geometric_mean([1 / f if b.at_least else f for b, f in found]) if found else None


def yardsticks(solver: Solver) -> list[Solution]:
    """One pass at each kind of site that is predicted to hold the budgets there, at its first place that can."""
    found: dict[str, Solution] = {}
    for step in sorted(solver.space.steps, key=lambda step: step.method != _YARDSTICK):
        if step.kind not in found:
            solution = solver.solve(Decision.of(step))
            if solution.feasible and solution.dropped:
                found[step.kind] = solution
    return list(found.values())


def _able(moved: Solver, solver: Solver) -> Solver:
    before, after = solver.solve(NOTHING).feasible, moved.solve(NOTHING).feasible
    return moved if before == after and (after or unmet.nearest(moved).feasible) else solver


def _factors(solver: Solver, settled: Sequence[Finalist], budget: Budget) -> list[float]:
    return [factor for item in settled if (factor := correction(solver, item, budget)) is not None]


def _moved(budget: Budget, factor: float) -> Budget:
    return replace(budget, limit=budget.limit / factor)
