"""Verification: who reaches the final, and its plans timed side by side on the live model against the budgets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..ir.budget import Budget
from ..ir.plan import Plan
from ..ir.workload import Workload
from ..runtime import compare, ratio
from .search.decision import Decision
from .search.search import Evaluated
from .search.solver import Solution, Solver

if TYPE_CHECKING:
    from ..runtime import Figures

_ALIKE = 2
"""Finalists with the same passes at like sites."""

_ROUNDS, _PREFILLS_MS = (11, 41), 2000.0
"""Least and most rounds of one timing; between them so many that the uncompressed prefills take about two seconds."""

_PLAIN = "plain"
_DECODED = ("tpot", "latency", "throughput")


@dataclass(frozen=True)
class Timing:
    """A finalist's figures and the uncompressed model's, from the same interleaved rounds."""

    plan: Figures
    plain: Figures

    def then(self, later: Timing) -> Timing:
        """These rounds and `later` ones."""
        return Timing(self.plan.then(later.plan), self.plain.then(later.plain))


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


def finalists(ranked: Sequence[Evaluated], *, best: int = 12, singles: int = 4) -> list[Decision]:
    """The best decisions, at most two with the same passes at like sites, and the best single passes beside them.

    More of them than the search's samples can tell apart, since the cost model's errors, which timing mends, shift
    their order too.
    """
    kinds: Counter[tuple[tuple[str, str], ...]] = Counter()
    chosen: list[Decision] = []
    for item in ranked:
        decision = item.solution.decision
        kind = tuple((step.method, step.kind) for step in decision.steps)
        if kinds[kind] < _ALIKE and len(chosen) < best:
            kinds[kind] += 1
            chosen.append(decision)
    alone = [item.solution.decision for item in ranked if item.solution.decision.is_single]
    return list(dict.fromkeys([*chosen, *alone[:singles]]))


def measured_part(solver: Solver, solution: Solution, model: Any, inputs: Mapping[str, Any]) -> float:
    """The TTFT of a solution as a part of the uncompressed model's, by the clock."""
    (item,) = timed(solver, [solution], model, inputs, rounds_of(solver))
    assert item.timing is not None
    return float(ratio(item.timing.plan, item.timing.plain).median)


def predicted(solver: Solver, candidates: Sequence[Solution]) -> list[Finalist]:
    """Finalists by prediction alone."""
    return [judged(solver, s, None) for s in candidates]


def excess(budget: Budget, timing: Timing, workload: Workload) -> float | None:
    """How far past `budget` the measured figure is, relative; None where it was not measured.

    Relative limits on TTFT are compared with the ratio paired by round, which drift of the machine leaves alone.
    """
    value, base = (_value(budget.figure, figures, workload) for figures in (timing.plan, timing.plain))
    if value is None or base is None:
        return None
    relative = ratio(timing.plan, timing.plain).median if budget.figure == "ttft" else value / base
    found = relative if budget.relative else value
    return budget.limit / found - 1 if budget.at_least else found / budget.limit - 1


def correction(solver: Solver, item: Finalist, budget: Budget) -> float | None:
    """Measured over predicted value of the budget's figure; None where it is not timed."""
    found = None if item.timing is None else excess(budget, item.timing, solver.space.graph.workload)
    if found is None or budget.figure == "memory":  # bytes follow from the counts, which no clock corrects
        return None
    factor = (1 + found) / (1 + solver.excess(item.solution.prediction, budget))
    return 1 / factor if budget.at_least else factor


def rounds_of(solver: Solver) -> int:
    """Rounds of one timing: more for models that take little time, whose noise is relatively larger."""
    least, most = _ROUNDS
    return min(most, max(least, round(_PREFILLS_MS / solver.baseline.ttft_ms)))


def timed(
    solver: Solver, solutions: Sequence[Solution], model: Any, inputs: Mapping[str, Any], rounds: int
) -> list[Finalist]:
    """The solutions and the uncompressed model, timed in the same interleaved rounds."""
    plans: dict[str, Plan | None] = {str(i): Plan.of(*s.placements) for i, s in enumerate(solutions)}
    plans[_PLAIN] = None
    work = solver.space.graph.workload
    new_tokens = _steps(work) if any(b.figure in _DECODED for b in solver.budgets) else 0
    figures = compare(model, inputs, plans, rounds=rounds, new_tokens=new_tokens)
    timings = [Timing(figures[str(i)], figures[_PLAIN]) for i in range(len(solutions))]
    return [judged(solver, s, t) for s, t in zip(solutions, timings, strict=True)]


def judged(solver: Solver, solution: Solution, timing: Timing | None) -> Finalist:
    """The finalist that has these figures."""
    return Finalist(solution, timing, _worst(solver, solution, timing))


def _worst(solver: Solver, solution: Solution, timing: Timing | None) -> float:
    """The largest excess over all budgets; figures that were not measured count as predicted.

    Memory must hold both ways: measured is one prefill, predicted counts answers and other requests too.
    """
    found = [-1.0]
    for budget in solver.budgets:
        measured = None if timing is None else excess(budget, timing, solver.space.graph.workload)
        if measured is None or budget.figure == "memory":
            found.append(solver.excess(solution.prediction, budget))
        if measured is not None:
            found.append(measured)
    return max(found)


def _value(name: str, figures: Figures, work: Workload) -> float | None:
    if name == "ttft":
        return figures.ttft_ms
    if name == "memory":
        return figures.peak_bytes
    if name not in _DECODED or figures.tpot_ms is None:
        return None
    latency = figures.ttft_ms + (_steps(work) - 1) * figures.tpot_ms
    if name == "throughput":  # several requests in flight share decode steps, which one alone cannot show
        return 1e3 * work.batch / latency if work.concurrency == 1 else None
    return figures.tpot_ms if name == "tpot" else latency


def _steps(work: Workload) -> int:
    return max(2, work.new_tokens)
