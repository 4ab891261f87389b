"""The inverse goal: the most that can be dropped while a measured value stays above its floor."""

from __future__ import annotations

from collections.abc import Callable

from ...ir.plan import Plan
from ..fidelity.judge import Judge
from .decision import Decision
from .solver import Solution, Solver

_COARSENESS = 64
"""Bisection stops when the tokens still in question are this small a part of all."""


def drop_most(solver: Solver, decision: Decision, judge: Judge, floor: float) -> Solution | None:
    """`decision` with the most tokens dropped whose value on the judge's samples reaches `floor`.

    The value falls as more is dropped, so bisection over the counts needs some six measurements. Counts never fall
    below what the other budgets ask for; None where even those drop too much.
    """
    least = solver.solve(decision)
    step = max(1, solver.space.tokens // _COARSENESS)
    reaches = _reaching(solver, decision, judge, floor)
    if not least.feasible or not reaches(least.dropped):
        return None
    low, high = least.dropped, solver.space.tokens
    while high - low > step:
        middle = (low + high) // 2
        if reaches(middle):
            low = middle
        else:
            high = middle
    return solver.solution(decision, low)


def _reaching(solver: Solver, decision: Decision, judge: Judge, floor: float) -> Callable[[int], bool]:
    def reaches(dropped: int) -> bool:
        tried = solver.solution(decision, dropped)
        found = judge.judge(Plan.of(*tried.placements))
        return tried.feasible and found is not None and found.value >= floor

    return reaches
