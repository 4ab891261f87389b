"""Which single passes the study starts with: the best of the screening, looked at again on more samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...ir.plan import Plan
from ..fidelity.judge import Judge
from .decision import Decision, Step
from .looking import look
from .screening import Progress, Screen, left
from .solver import Solver
from .space import ALWAYS
from .surrogate import Point

_LISTED = 16
"""Steps that are looked at again: on few samples the best of dozens is often the luckiest."""

_PLACES = 2
"""Places of each baseline that are."""

_FIRST = 6
"""The best single steps that the study starts with, beside the baselines."""


@dataclass(frozen=True)
class Shortlist:
    """What the study measures on all samples first, and what was seen of every listed step on half of them."""

    first: tuple[Decision, ...]
    seen: dict[Step, Point]

    def to_data(self) -> dict[str, Any]:
        """Plain data for a study; `from_data` gives an equal shortlist back."""
        seen = [[Decision.of(step).to_data(), point.remaining, point.value] for step, point in self.seen.items()]
        return {"first": [decision.to_data() for decision in self.first], "seen": seen}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Shortlist:
        """The shortlist that `to_data` wrote."""
        seen = {Decision.from_data(step).steps[0]: Point(left, value) for step, left, value in data["seen"]}
        return cls(tuple(map(Decision.from_data, data["first"])), seen)


def shortlisted(solver: Solver, judge: Judge, screen: Screen, *, progress: Progress | None = None) -> Shortlist:
    """The best single steps and every baseline at its best place.

    The steps that the screening likes are looked at on half of the samples where they just hold the budgets; the
    screening's order decides between equals.
    """
    able = [step for step in screen.ranked() if solver.solve(Decision.of(step)).feasible]
    listed = list(dict.fromkeys([*able[:_LISTED], *_baselines(able)]))
    seen: dict[Step, Point] = {}
    for number, step in enumerate(listed):
        solution = solver.solve(Decision.of(step))
        found = look(judge, Plan.of(*solution.placements), looks=2)
        seen[step] = Point(left(solver, solution), 0.0 if found is None else found.score)
        if progress:
            progress("shortlist", number + 1, len(listed))
    ranked = sorted(listed, key=lambda step: -seen[step].value)
    best = [next((step for step in ranked if step.method == name), None) for name in ALWAYS]
    first = (Decision.of(step) for step in dict.fromkeys([*ranked[:_FIRST], *best]) if step is not None)
    return Shortlist(tuple(first), seen)


def _baselines(able: list[Step]) -> Iterator[Step]:
    for name in ALWAYS:
        yield from [step for step in able if step.method == name][:_PLACES]
