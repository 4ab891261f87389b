"""What each placement buys: the plan without it, its time predicted and its value judged."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.placement import Placement
from ...ir.plan import Plan
from ...ir.plan_schema import AblationRecord
from ..fidelity.judge import Judge
from ..figures import kind_of, rounded
from ..search.solver import Solver


def ablation(solver: Solver, placements: Sequence[Placement], judge: Judge) -> tuple[AblationRecord, ...]:
    """The plan without each of its placements in turn, the others keeping their fractions; a schedule goes as one.

    Args:
        judge: says the value of what is left, on samples that the search has not seen or by a prior. What it cannot
            judge is left out.
    """
    found = (_without(solver, placements, part, judge) for part in parts(placements))
    return tuple(record for record in found if record is not None)


def parts(placements: Sequence[Placement]) -> list[tuple[Placement, ...]]:
    """The placements that stand or fall together: one by one, a group as one."""
    groups: dict[object, list[Placement]] = {}
    for index, placement in enumerate(placements):
        groups.setdefault(placement.group or index, []).append(placement)
    return [tuple(members) for members in groups.values()]


def _without(
    solver: Solver, placements: Sequence[Placement], part: tuple[Placement, ...], judge: Judge
) -> AblationRecord | None:
    rest = tuple(placement for placement in placements if placement not in part)
    value = judge.judge(Plan.of(*rest))
    if value is None:
        return None
    return AblationRecord(
        without=[f"{placement.method}@{placement.site}" for placement in part],
        ttft_ms=rounded(solver.predict(rest).ttft_ms),
        fidelity=rounded(value.value),
        kind=kind_of(value),
    )
