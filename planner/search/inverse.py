"""The inverse goal: the most that can be dropped while a measured value stays above its floor."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...ir.plan import Plan
from ...passes import REGISTRY
from ..fidelity.judge import Judge
from .decision import Decision, Step
from .screening import Screen
from .solver import Solution, Solver

_COARSENESS = 64
"""Bisection stops when the tokens still in question are this small a part of all."""

_TRIED = 3
"""Single passes that are brought down to the floor, those of lowest TTFT by what the screening says."""


def fastest_alone(solver: Solver, screen: Screen, judge: Judge, floor: float) -> Solution | None:
    """The single pass that takes least time where it just reaches `floor`, None where none does and drops anything.

    What the search has to beat: combinations that lose less at this latency can drop more.
    """
    steps = [step for step in screen.points if not REGISTRY.get(step.method).withdraws]
    steps.sort(key=lambda step: (_expected(solver, screen, step, floor), str(step)))
    found = [drop_most(solver, Decision.of(step), judge, floor) for step in steps[:_TRIED]]
    able = [solution for solution in found if solution is not None and solution.dropped]
    return min(able, key=lambda solution: solution.prediction.ttft_ms, default=None)


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


def _expected(solver: Solver, screen: Screen, step: Step, floor: float) -> float:
    """The predicted TTFT in ms of a step alone at the most dropped that its curve of losses allows."""
    total = solver.space.tokens
    remaining = 1 - np.arange(total) / total
    losses = screen.surrogate.loss(Decision.of(step), [remaining])
    most = int(np.flatnonzero(losses <= -math.log(floor))[-1])  # dropping nothing loses nothing
    return solver.solution(Decision.of(step), most).prediction.ttft_ms


def _reaching(solver: Solver, decision: Decision, judge: Judge, floor: float) -> Callable[[int], bool]:
    def reaches(dropped: int) -> bool:
        tried = solver.solution(decision, dropped)
        found = judge.judge(Plan.of(*tried.placements))
        return tried.feasible and found is not None and found.value >= floor

    return reaches
