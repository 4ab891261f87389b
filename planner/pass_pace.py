"""What each pass adds to the cost model's error: timed once the screening has said which ones matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, islice
from typing import Any

import numpy as np

from .pace import slowdown
from .search.decision import Decision, Step
from .search.solver import COMMON, TIMES, Solution, Solver, pace_key
from .verify import Finalist, correction, timed

_ROUNDS, _TURNS = 7, 2
"""Rounds of a timing, few since all passes share one fit; the second is at the counts that the first one asks for."""

_PAIRS, _PAIRED = 10, 3
"""Pairs that are timed as well, and how many of them may hold the same step."""

_NEAR = 0.08
"""How far below its limits a timed plan may be predicted: where whole frames or a grid leave it further, what a plan
takes in any case weighs more than it does at the limit."""

_RIDGE = 0.1
"""How many measurements it is worth that a pass takes as long as predicted beside the others."""


def pass_pace(
    solver: Solver, steps: Sequence[Step], model: Any, inputs: Mapping[str, Any], *, start: float = 1.0
) -> dict[str, float]:
    """Measured over predicted time of `steps` for `Solver.pace`; `start` for all where too little can be timed.

    Each pass alone and some pairs, solved for the limits of `solver`, are timed side by side.

    Args:
        solver: with the limits that the clock shall hold.
        steps: the ones that matter, best first; of each pass at a kind of site the first.
        inputs: one request.
        start: measured over predicted time of a usual plan, at which the first ones are solved.
    """
    found = {COMMON: start}
    if not any(budget.figure in TIMES for budget in solver.budgets):
        return found
    for _ in range(_TURNS):
        paced = solver.at_pace(found)
        solved = [solution for each in probes(paced, steps) if (solution := paced.solve(each)).dropped]
        near = [solution for solution in solved if solution.violation >= -_NEAR]
        if len(near) < 2:
            break
        found = fitted(solver, timed(solver, near, model, inputs, _ROUNDS))
    return found


def probes(solver: Solver, steps: Sequence[Step]) -> list[Decision]:
    """Each pass alone at each kind of site, where it can hold the budgets; pairs of the best ones; and each of the
    others behind the best one that it can follow."""
    kinds = {pace_key(step): step for step in reversed(steps)}
    distinct = [step for step in steps if kinds[pace_key(step)] == step]
    alone = [step for step in distinct if solver.solve(Decision.of(step)).feasible]
    unable = [step for step in distinct if step not in alone]
    behind = (pair for step in unable if (pair := next(_pairs(solver, [(first, step) for first in alone]), None)))
    return [*map(Decision.of, alone), *_varied(_pairs(solver, combinations(alone, 2))), *behind]


def fitted(solver: Solver, finalists: Sequence[Finalist]) -> dict[str, float]:
    """Factors of each pass at its kind of site, and one that all plans have in common, whose products are nearest.

    Least squares in logarithms, ridged: what no measurement tells apart counts for the common factor.
    """
    rows = [(item.solution, slower) for item in finalists if (slower := _slower(solver, item)) is not None]
    if not rows:
        return {}
    keys = sorted({pace_key(step) for solution, _ in rows for step in solution.decision.steps})
    design = np.array([[1.0, *(_count(solution, key) for key in keys)] for solution, _ in rows])
    ridge = _RIDGE * np.diag([0.0, *(1.0 for _ in keys)])
    found = np.linalg.solve(design.T @ design + ridge, design.T @ np.log([slower for _, slower in rows]))
    return {key: float(np.exp(value)) for key, value in zip((COMMON, *keys), found, strict=True)}


def _count(solution: Solution, key: str) -> float:
    return float(sum(pace_key(step) == key for step in solution.decision.steps))


def _slower(solver: Solver, item: Finalist) -> float | None:
    found = {str(budget): correction(solver, item, budget) for budget in solver.budgets}
    return slowdown(solver, {budget: factor for budget, factor in found.items() if factor is not None})


def _pairs(solver: Solver, pairs: Iterable[tuple[Step, Step]]) -> Iterator[Decision]:
    """Those of `pairs` of steps that can hold the budgets together."""
    for pair in pairs:
        if (able := solver.able(Decision.of(*pair))) is not None:
            yield able


def _varied(decisions: Iterator[Decision]) -> Iterator[Decision]:
    """Up to `_PAIRS` decisions, in which no step stands too often."""
    used: Counter[Step] = Counter()

    def fresh(decision: Decision) -> bool:
        if any(used[step] == _PAIRED for step in decision.steps):
            return False
        used.update(decision.steps)
        return True

    return islice(filter(fresh, decisions), _PAIRS)
