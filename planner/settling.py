"""Finalists timed on the live model and corrected until the clock agrees, each twice, lest the luckiest timing win."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from ..ir.budget import Budget
from .search.decision import Decision
from .search.solver import Solution, Solver
from .verify import Finalist, correction, judged, rounds_of, timed

SLACK = 0.05
"""A finalist that stays further than this below its limit is loosened: it could keep more."""

_TURNS = 6
_NEAR = 0.02
"""Versions that differ by this part of all tokens tell half as much of each other as of themselves."""

_CONFIRMED = 2
"""Timings that a version needs before it is trusted; their rounds count together."""


def settle(
    solver: Solver,
    candidates: Sequence[Solution],
    model: Any,
    inputs: Mapping[str, Any],
    *,
    rounds: int | None = None,
    slack: float = SLACK,
) -> list[Finalist]:
    """Time all candidates and the uncompressed model, interleaved; re-solve those that miss or waste their budget.

    A candidate past its limit, or more than `slack` below it, is solved again with measured / predicted as the
    correction, which all of its versions tell; one that is neither is timed once more, and both timings count. Of its
    versions that hold, one that was timed twice is kept before others, and of these the one nearest to the solver's
    margin.

    Args:
        rounds: of one timing; by default more for models that take little time, whose noise is relatively larger.
    """
    settling = _Settling(solver, slack)
    candidates, waiting = list(candidates), list(candidates)
    for _ in range(_TURNS):
        if not waiting:
            break
        settling.add(timed(solver, waiting, model, inputs, rounds or rounds_of(solver)))
        waiting = [again for solution in waiting if (again := settling.next(solution)) is not None]
    return [settling.best(candidate.decision) for candidate in candidates]


class _Settling:
    """Every version of every candidate, told apart by what it drops, with all rounds in which it was timed."""

    def __init__(self, solver: Solver, slack: float) -> None:
        self.solver, self.slack = solver, slack
        self._versions: dict[Decision, dict[int, Finalist]] = {}
        self._timings: dict[tuple[Decision, int], int] = {}

    def add(self, found: Sequence[Finalist]) -> None:
        """Take in one timing."""
        for item in found:
            decision, dropped = item.solution.decision, item.solution.dropped
            versions = self._versions.setdefault(decision, {})
            versions[dropped] = self._pooled(versions.get(dropped), item)
            self._timings[decision, dropped] = self._timings.get((decision, dropped), 0) + 1

    def next(self, solution: Solution) -> Solution | None:
        """What to time after `solution`: itself again, or other counts; None where nothing would change."""
        item = self._versions[solution.decision][solution.dropped]
        if -self.slack <= item.excess <= -self.solver.margin / 2:
            return None if self._confirmed(item) else solution
        corrections = {b: c for b in self.solver.budgets if (c := self._correction(item, b)) is not None}
        again = self.solver.solve(solution.decision, corrections=corrections)
        return again if again.feasible and again.dropped != solution.dropped else None

    def best(self, decision: Decision) -> Finalist:
        """The version to keep."""

        def rank(item: Finalist) -> tuple[bool, bool, float]:
            return item.holds, self._confirmed(item), -abs(item.excess + self.solver.margin)

        return max(self._versions[decision].values(), key=rank)

    def _correction(self, item: Finalist, budget: Budget) -> float | None:
        """Measured over predicted, by `item` and by its other versions, which count the more the nearer they are.

        Corrections by the last timing alone go to and fro with its noise.
        """
        factors, weights = list[float](), list[float]()
        for dropped, version in self._versions[item.solution.decision].items():
            factor = correction(self.solver, version, budget)
            if factor is not None:
                apart = abs(dropped - item.solution.dropped) / self.solver.space.tokens
                factors.append(factor)
                weights.append(self._timings[item.solution.decision, dropped] / (apart + _NEAR))
        return math.exp(fmean(map(math.log, factors), weights)) if factors else None

    def _pooled(self, held: Finalist | None, item: Finalist) -> Finalist:
        if held is None or held.timing is None or item.timing is None:
            return item
        return judged(self.solver, item.solution, held.timing.then(item.timing))

    def _confirmed(self, item: Finalist) -> bool:
        return self._timings[item.solution.decision, item.solution.dropped] >= _CONFIRMED
