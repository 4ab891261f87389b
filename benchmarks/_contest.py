"""A plan and its rivals at one latency: who takes part, and how they are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from _marks import Exam, Marks, marks

from foveate.common.timing import Interval
from foveate.ir.plan import Plan
from foveate.planner.fidelity.judge import Judge
from foveate.planner.racing import Race
from foveate.planner.search.decision import Decision, Step
from foveate.planner.search.search import Search
from foveate.planner.search.solver import Solver
from foveate.planner.verify import finalists

_ROOM = 0.85
"""The part of its limits that a baseline must be able to reach, where one of its places allows it."""

SINGLE, BASELINES = "best single", ("random", "pool", "downsample")


@dataclass(frozen=True)
class Rival:
    """A plan at one budget.

    Attributes:
        ratio: its TTFT as a part of the uncompressed model's. beside: the same as a multiple of the contested plan's.
        marks: on what was held out.
    """

    name: str
    plan: Plan
    ratio: Interval
    beside: float = 1.0
    marks: Marks | None = None

    @property
    def score(self) -> float:
        """The right part of what was held out."""
        assert self.marks is not None
        return self.marks.mean

    @property
    def words(self) -> str:
        """Its placements in words."""
        return words_of(self.plan)


def words_of(plan: Plan) -> str:
    """The placements of a plan in words."""
    return " + ".join(placement.label() for placement in plan.placements) or "nothing"


def entrants(search: Search) -> dict[str, Decision]:
    """The rivals of a plan, all chosen by what was measured on calibration samples.

    Each single pass that is a finalist, of which `with_best_single` leaves one; each baseline where it is best; and the
    two best passes, taken naively.
    """
    singles = [item.solution.decision for item in search.ranked() if item.solution.decision.is_single]
    able = [step for step in search.screen.ranked() if search.solver.solve(Decision.of(step)).feasible]
    finalist = [decision for decision in finalists(search.ranked()) if decision.is_single] or [Decision.of(able[0])]
    found = {f"{SINGLE} {number}": decision for number, decision in enumerate(finalist)}
    for name in BASELINES:
        measured = [decision for decision in singles if decision.methods == (name,)]
        measured += [Decision.of(step) for step in able if step.method == name]
        if measured:
            found[name] = reaching(search.solver, measured)
    pair = two_best(search.solver, [*singles, *map(Decision.of, able)])
    return found if pair is None else {**found, "two best": pair}


def two_best(solver: Solver, ranked: Sequence[Decision]) -> Decision | None:
    """The two best passes that go together, each dropping as much, at the best of their places where both can act.

    Args:
        ranked: single passes, the best first.
    """
    places: dict[str, list[Step]] = {}
    for decision in dict.fromkeys(ranked):
        places.setdefault(decision.methods[0], []).append(decision.steps[0])
    pairs = (Decision.of(*pair) for both in combinations(places.values(), 2) for pair in product(*both))
    return next((able for pair in pairs if (able := solver.able(pair)) is not None), None)


def reaching(solver: Solver, decisions: Sequence[Decision]) -> Decision:
    """The first of `decisions` that could take clearly less time than the limits, else the first of all.

    Whoever stands at the least that it can reach may be left out of a contest for being predicted a little too fast.
    """
    limits = [replace(budget, limit=_ROOM * budget.limit) for budget in solver.budgets]
    tighter = solver.within(limits)
    return next((decision for decision in decisions if tighter.solve(decision).feasible), decisions[0])


def with_best_single(rivals: Sequence[Rival], deciding: Judge, exam: Exam) -> list[Rival]:
    """The rivals, the plan first, and of the single passes the best ones on calibration samples.

    One is best on the samples that chose the plan, another perhaps on calibration questions with known answers: what
    is nearest to the uncompressed model need not be right most often. They are judged at the plan's latency, since
    counts that were only predicted to take as long favour a pass whose time the cost model underrates.
    """
    plan, race = rivals[0], Race(deciding)
    alone = {rival.name: as_planned(plan, rival).plan for rival in rivals if rival.name.startswith(SINGLE)}
    found = {name: race.run(single) for name, single in alone.items()}
    nearest = max(found, key=lambda name: -1.0 if (value := found[name]) is None else value.score, default=None)
    right = {name: marks(exam, exam.right(single)).mean for name, single in alone.items()} if len(alone) > 1 else {}
    most_right = max(right, key=lambda name: (right[name], name == nearest), default=nearest)
    names = {most_right: f"{SINGLE} by answers", nearest: SINGLE}
    kept = [replace(rival, name=names[rival.name]) if rival.name in names else rival for rival in rivals]
    return [rival for rival in kept if rival.name not in alone]


def as_planned(plan: Rival, rival: Rival) -> Rival:
    """The rival; where it is the one pass of the plan, the plan itself, since counts a token apart would differ."""
    own, others = ([(p.method, p.site) for p in r.plan.placements] for r in (plan, rival))
    return replace(plan, name=rival.name) if own == others and len(own) == 1 else rival


def gains(plan: Rival, others: Sequence[Rival], *, together: bool = False) -> list[tuple[float, float, float]]:
    """The plan's score minus each other's with its 95 % interval, paired by item and resampled by scene or window.

    Args:
        together: widen the intervals so that all of them hold at once in 95 % of cases (Bonferroni), which is what a
            statement about the worst of several comparisons needs.
    """
    confidence = 1 - 0.05 / len(others) if together and others else 0.95
    return [plan.marks.gain(other.marks, confidence=confidence) for other in others if plan.marks and other.marks]
