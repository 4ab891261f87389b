"""What to say when no plan holds the budget: which limit binds, the floor, the nearest plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from ..common.errors import BudgetNotMet
from ..ir.budget import Budget
from .search.decision import Decision, Step
from .search.solver import Solution, Solver, figure

_UNITS = {"ttft": "ms", "tpot": "ms", "latency": "ms", "memory": "GiB", "throughput": "/s"}


def nearest(solver: Solver, *, combined: bool = True) -> Solution:
    """The plan that comes nearest to the budgets, at the fewest tokens dropped that gets there.

    A single pass at its usual place where one can hold them; else at its first place; else two passes together, of each
    kind of site the one that comes nearest alone.

    Args:
        combined: whether two passes may go together.
    """
    usual = _best(solver, solver.space.singles())
    if usual.feasible:
        return usual
    first = [solver.solve(decision) for decision in solver.space.earliest()]
    alone = min([usual, *first], key=_distance)
    return alone if alone.feasible or not combined else _best(solver, _pairs(solver, first), alone)


def _best(solver: Solver, decisions: Iterable[Decision], *known: Solution) -> Solution:
    return min([*known, *map(solver.solve, decisions)], key=_distance)


def _distance(solution: Solution) -> tuple[float, float]:
    return solution.violation, solution.prediction.ttft_ms


def _pairs(solver: Solver, alone: Sequence[Solution]) -> Iterator[Decision]:
    """Two passes that go together, the dropping moved between them as the budgets need where that can be."""
    strongest: dict[tuple[str, str | None], Step] = {}
    for solution in sorted(alone, key=_distance):
        (step,) = solution.decision.steps
        strongest.setdefault((step.kind, step.modality), step)
    for pair in (Decision.of(*steps) for steps in combinations(strongest.values(), 2)):
        if solver.space.allowed(pair):
            yield solver.repaired(pair) or pair


def budget_not_met(solver: Solver, floor: Solution) -> BudgetNotMet:
    """The error for budgets that no plan of the space holds by prediction; `floor` is the nearest one."""
    budget = floor.binding or solver.budgets[0]
    value, base = figure(floor.prediction, budget.figure), figure(solver.baseline, budget.figure)
    heaviest = max(floor.prediction.stages, key=lambda stage: stage.ms)
    relative = f" ({100 * value / base:.1f} % of the uncompressed model's {shown(budget, base)})"
    bound, mend = ("ceiling", "lower the limit below") if budget.at_least else ("floor", "raise the limit above")
    return BudgetNotMet(
        f"{budget} cannot be held: its {bound} is {shown(budget, value)}{relative}, with one token of "
        f"{solver.space.tokens} left and {heaviest.name} taking {heaviest.ms:.1f} of {floor.prediction.ttft_ms:.1f} ms "
        f"to the first token; the nearest plan is {label(floor)} (ask for nearest, or {mend} its {bound})."
    )


def measured_not_met(closest: Solution, excess: float) -> BudgetNotMet:
    """The error for budgets that hold by prediction and not by the clock."""
    return BudgetNotMet(
        f"{closest.binding} holds by prediction but not when measured: the nearest plan, {label(closest)}, lies "
        f"{100 * excess:.1f} % past the limit (ask for nearest, raise the limit, or calibrate this device)."
    )


def fidelity_not_met(floor: float, value: float, closest: Solution | None) -> BudgetNotMet:
    """The error for a fidelity that nothing within the other limits reaches."""
    return BudgetNotMet(
        f"fidelity>={floor:g} cannot be held: the best within the other limits is {value:.4f}, by {label(closest)} "
        "(ask for nearest, or loosen one of the limits)."
    )


def label(solution: Solution | None) -> str:
    """The placements of a solution in one line."""
    placements = () if solution is None else solution.placements
    return " + ".join(placement.label() for placement in placements) or "no compression"


def shown(budget: Budget, value: float) -> str:
    """`value` of the budget's figure with its unit."""
    scaled = value / 2**30 if budget.figure == "memory" else value
    return f"{scaled:.4g} {_UNITS[budget.figure]}".replace(" /s", "/s")
