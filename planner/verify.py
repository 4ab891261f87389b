"""Verification: finalists timed side by side on the live model, their counts corrected until the clock agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..ir.budget import Budget
from ..ir.plan import Plan
from ..runtime import compare, ratio
from .search import Evaluated
from .solver import Solution, Solver
from .space import Decision

if TYPE_CHECKING:
    from ..runtime import Figures

SLACK = 0.07
"""A finalist that stays further than this below its limit is loosened: it could keep more."""

_CORRECTIONS = 4
_PLAIN = "plain"
_TIMED = ("ttft", "tpot", "latency")


@dataclass(frozen=True)
class Timing:
    """A finalist's figures and the uncompressed model's, from the same interleaved rounds."""

    plan: Figures
    plain: Figures


@dataclass(frozen=True)
class Finalist:
    """A candidate for the plan.

    Attributes:
        solution: its counts. timing: its figures on the live model, None where nothing was timed.
        excess: how far past the tightest limit it was measured (predicted, for figures that are not timed); held when
            <= 0.
    """

    solution: Solution
    timing: Timing | None
    excess: float

    @property
    def holds(self) -> bool:
        """Whether it holds every budget."""
        return self.excess <= 0


def finalists(ranked: Sequence[Evaluated], *, best: int = 3, singles: int = 2) -> list[Decision]:
    """The best decisions, no two with the same passes, and the best single passes among them or added."""
    chosen: list[Decision] = []
    for wanted, pool in ((best, ranked), (singles, [e for e in ranked if e.solution.decision.is_single])):
        kinds: set[tuple[str | None, str | None]] = set()
        for item in pool:
            decision = item.solution.decision
            if (decision.first, decision.second) not in kinds and len(kinds) < wanted:
                kinds.add((decision.first, decision.second))
                chosen.append(decision)
    return list(dict.fromkeys(chosen))


def settle(
    solver: Solver,
    candidates: Sequence[Solution],
    model: Any,
    inputs: Mapping[str, Any],
    *,
    rounds: int = 11,
    slack: float = SLACK,
) -> list[Finalist]:
    """Time all candidates and the uncompressed model, interleaved; re-solve those that miss or waste their budget.

    A candidate past its limit, or more than `slack` below it, is solved again with measured / predicted as the
    correction, a few times. Of its timed versions that hold, the one nearest to the solver's margin is kept.
    """
    best: dict[Decision, Finalist] = {}
    open_solutions = list(candidates)
    for _ in range(_CORRECTIONS):
        timed = _timed(solver, open_solutions, model, inputs, rounds)
        for item in timed:
            held = best.get(item.solution.decision)
            if held is None or _better(item, held, aim=-solver.margin):
                best[item.solution.decision] = item
        open_solutions = [again for item in timed if (again := _corrected(solver, item, slack)) is not None]
        if not open_solutions:
            break
    return [best[candidate.decision] for candidate in candidates]


def predicted(solver: Solver, candidates: Sequence[Solution]) -> list[Finalist]:
    """Finalists by prediction alone."""
    return [Finalist(s, None, _worst(solver, s, None)) for s in candidates]


def excess(budget: Budget, timing: Timing, new_tokens: int) -> float | None:
    """How far past `budget` the measured figure is, relative; None where it is not timed.

    Relative limits on TTFT are compared with the ratio paired by round, which drift of the machine leaves alone.
    """
    value, base = (_value(budget.figure, figures, new_tokens) for figures in (timing.plan, timing.plain))
    if value is None or base is None:
        return None
    relative = ratio(timing.plan, timing.plain).median if budget.figure == "ttft" else value / base
    return relative / budget.limit - 1 if budget.relative else value / budget.limit - 1


def _timed(
    solver: Solver, solutions: Sequence[Solution], model: Any, inputs: Mapping[str, Any], rounds: int
) -> list[Finalist]:
    plans: dict[str, Plan | None] = {str(i): Plan.of(*s.placements) for i, s in enumerate(solutions)}
    plans[_PLAIN] = None
    new_tokens = _steps(solver) if any(b.figure in ("tpot", "latency") for b in solver.budgets) else 0
    figures = compare(model, inputs, plans, rounds=rounds, new_tokens=new_tokens)
    timings = [Timing(figures[str(i)], figures[_PLAIN]) for i in range(len(solutions))]
    return [Finalist(s, t, _worst(solver, s, t)) for s, t in zip(solutions, timings, strict=True)]


def _worst(solver: Solver, solution: Solution, timing: Timing | None) -> float:
    """The largest excess over all budgets; figures that are not timed count as predicted."""
    found = [-1.0]
    for budget in solver.budgets:
        timed = None if timing is None else excess(budget, timing, _steps(solver))
        found.append(solver.excess(solution.prediction, budget) if timed is None else timed)
    return max(found)


def _corrected(solver: Solver, item: Finalist, slack: float) -> Solution | None:
    """The finalist solved anew with the measured correction; None where it is good or nothing would change."""
    if item.timing is None or -slack <= item.excess <= -solver.margin / 2:
        return None
    corrections = {b: c for b in solver.budgets if (c := _correction(solver, item, b)) is not None}
    again = solver.solve(item.solution.decision, corrections=corrections)
    return again if again.feasible and again.dropped != item.solution.dropped else None


def _correction(solver: Solver, item: Finalist, budget: Budget) -> float | None:
    """Measured over predicted excess of the figure past its limit; None where it is not timed."""
    found = None if item.timing is None else excess(budget, item.timing, _steps(solver))
    return None if found is None else (1 + found) / (1 + solver.excess(item.solution.prediction, budget))


def _value(name: str, figures: Figures, new_tokens: int) -> float | None:
    if name == "ttft":
        return figures.ttft_ms
    if name not in _TIMED or figures.tpot_ms is None:
        return None
    return figures.tpot_ms if name == "tpot" else figures.ttft_ms + max(new_tokens - 1, 0) * figures.tpot_ms


def _steps(solver: Solver) -> int:
    return max(2, solver.space.graph.workload.new_tokens)


def _better(new: Finalist, old: Finalist, *, aim: float) -> bool:
    """Whether `new` holds where `old` does not, or lies nearer to `aim`."""
    if new.holds != old.holds:
        return new.holds
    return abs(new.excess - aim) < abs(old.excess - aim)
