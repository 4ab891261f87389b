"""Rivals of a plan brought to its measured time to first token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from _contest import Rival

from foveate.ir.budget import Budget
from foveate.ir.plan import Plan
from foveate.planner.search.decision import Decision
from foveate.planner.search.solver import Solution, Solver
from foveate.runtime import compare, ratio

Whole = tuple[int, ...]

SAME_LATENCY = 0.03
_LEAST_TURNS, _MOST_TURNS = 3, 6
_CLOSE, _MOVED = 0.004, (-0.12, -0.08, -0.04, 0.04, 0.08, 0.12)
"""Relative distance that is near enough; past it, so much of the dropping is moved to the first pass of several."""


def matched(
    solver: Solver, plan: Plan, decisions: Mapping[str, Decision], model: Any, inputs: Mapping[str, Any], *, rounds: int
) -> list[Rival]:
    """The plan and its rivals, whose counts are such that they take as long as the plan, all timed in the same rounds.

    In each turn what a rival took beside the plan corrects the cost model's ratio of the two; the geometric mean of all
    turns counts, so that no turn's luck is picked. The last turn, which is reported, is the first from the third on in
    which nobody is too far apart. A decision that cannot come that far down is left out.
    """
    pace = solver.predict(plan.placements).ttft_ms
    errors = {name: Errors() for name in decisions}
    rivals: list[Rival] = []
    for turn in range(_MOST_TURNS):
        solved = {name: _nearest(solver, decision, pace, errors[name]) for name, decision in decisions.items()}
        able = {name: solution for name, solution in solved.items() if solution is not None}
        rivals = _timed(plan, able, model, inputs, rounds=rounds if turn + 1 < _LEAST_TURNS else 2 * rounds)
        for rival in rivals[1:]:
            predicted = able[rival.name].prediction.ttft_ms / pace
            errors[rival.name].add(_whole(solver, able[rival.name]), float(np.log(rival.beside / predicted)))
        if turn + 1 >= _LEAST_TURNS and apart(rivals) <= SAME_LATENCY:
            break
    return rivals


@dataclass
class Errors:
    """Logarithms of measured over predicted time beside the plan's, by how many tokens leave as whole frames.

    The cost model errs otherwise where a frame more is left, so each number of frames has its own error.
    """

    found: dict[Whole, list[float]] = field(default_factory=dict)

    def add(self, whole: Whole, error: float) -> None:
        """One more measurement."""
        self.found.setdefault(whole, []).append(error)

    def of(self, whole: Whole) -> float:
        """Their mean; that of all where none was measured with so many."""
        every = [error for errors in self.found.values() for error in errors]
        return float(np.mean(self.found.get(whole) or every or [0.0]))

    def distinct(self) -> set[float]:
        """The errors that solutions may have."""
        return {self.of(whole) for whole in (*self.found, ())}


def apart(rivals: Sequence[Rival]) -> float:
    """How far the TTFT of a rival is from the plan's, which comes first, at most and relative to it.

    A pooled grid or a smaller picture cannot take every count, so these come as near as their grids allow.
    """
    free = [rival for rival in rivals[1:] if not {"pool", "downsample"} & {p.method for p in rival.plan.placements}]
    return max((abs(rival.beside - 1) for rival in free), default=0.0)


def _nearest(solver: Solver, decision: Decision, pace: float, errors: Errors) -> Solution | None:
    """`decision` with the counts whose TTFT is expected nearest to `pace` in ms, None where it cannot get below.

    Frames leave as a whole, so that a combination's time is in steps; where it is, its shares are moved a little too.
    """

    def distance(solution: Solution) -> float:
        return abs(float(np.log(solution.prediction.ttft_ms / pace)) + errors.of(_whole(solver, solution)))

    found: list[Solution] = []
    for error in sorted(errors.distinct()):
        near = solver.within([Budget("ttft", pace * float(np.exp(-error)))], margin=0.0)
        able = near.repaired(decision) or decision
        found += _around(near, able)
        if min(map(distance, found), default=0.0) > _CLOSE:
            found += [solution for moved in _moved(able) for solution in _around(near, moved)]
    return min(found, key=distance, default=None)


def _whole(solver: Solver, solution: Solution) -> Whole:
    """What is left by the passes that act before the encoder, where frames leave as a whole."""
    placed = solver.resolved(solution.placements).placed
    return tuple(item.tokens_out for item in placed if item.placement.site.endswith(".input"))


def _around(near: Solver, decision: Decision) -> list[Solution]:
    """The solutions a token below and above the limit, none where `decision` cannot get below."""
    held = near.solve(decision)
    if not held.feasible or held.dropped == 0:
        return [held] if held.feasible else []
    return [held, near.solution(held.decision, held.dropped - 1)]


def _moved(decision: Decision) -> list[Decision]:
    """`decision` with a little more or less of the dropping done by its first pass."""
    first, *later = decision.shares
    made = [(first + by, *(share * (1 - first - by) / (1 - first) for share in later)) for by in _MOVED if first < 1]
    return [replace(decision, shares=shares) for shares in made if min(shares) > 0]


def _timed(
    plan: Plan, rivals: Mapping[str, Solution], model: Any, inputs: Mapping[str, Any], *, rounds: int
) -> list[Rival]:
    plans = {"plan": plan, **{name: Plan.of(*solution.placements) for name, solution in rivals.items()}}
    timed = compare(model, inputs, {"plain": None, **plans}, rounds=rounds)
    return [
        Rival(name, each, ratio(timed[name], timed["plain"]), beside=ratio(timed[name], timed["plan"]).median)
        for name, each in plans.items()
    ]
