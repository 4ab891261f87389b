"""Which single passes the study starts with: the best of the screening, looked at again on more samples."""

from __future__ import annotations

from collections.abc import Iterator

from ...ir.plan import Plan
from ..fidelity.judge import Judge
from .decision import Decision, Step
from .looking import look
from .screening import Progress, Screen
from .solver import Solver
from .space import ALWAYS

_LISTED = 16
"""Steps that are looked at again: on few samples the best of dozens is often the luckiest."""

_PLACES = 2
"""Places of each baseline that are."""

_FIRST = 6
"""The best single steps that the study starts with, beside the baselines."""


def shortlisted(solver: Solver, judge: Judge, screen: Screen, *, progress: Progress | None = None) -> list[Decision]:
    """What the study measures on all samples first: the best single steps and every baseline at its best place.

    The steps that the screening likes are looked at on half of the samples where they just hold the budgets; the
    screening's order decides between equals.
    """
    able = [step for step in screen.ranked() if solver.solve(Decision.of(step)).feasible]
    listed = list(dict.fromkeys([*able[:_LISTED], *_baselines(able)]))
    values: dict[Step, float] = {}
    for number, step in enumerate(listed):
        found = look(judge, Plan.of(*solver.solve(Decision.of(step)).placements), looks=2)
        values[step] = 0.0 if found is None else found.score
        if progress:
            progress("shortlist", number + 1, len(listed))
    ranked = sorted(listed, key=lambda step: -values[step])
    best = [next((step for step in ranked if step.method == name), None) for name in ALWAYS]
    return [Decision.of(step) for step in dict.fromkeys([*ranked[:_FIRST], *best]) if step is not None]


def _baselines(able: list[Step]) -> Iterator[Step]:
    for name in ALWAYS:
        yield from [step for step in able if step.method == name][:_PLACES]
