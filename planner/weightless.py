"""Planning without weights: times from the cost model, fidelity from published results, nothing run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..common.errors import BadInput
from ..cost_models import CostModel, DeviceProfile
from ..ir.budget import Budget
from ..ir.graph import Graph
from ..ir.plan import Plan
from ..ir.plan_schema import FidelityRecord, SearchRecord
from . import unmet
from .explaining.ablation import ablation
from .explaining.evidence import assembled, device_record, front_records, runners_up
from .explaining.left_out import left_out
from .figures import rounded
from .priors.judge import PriorJudge, passes_with_prior, prior_judge
from .search.decision import NOTHING, Decision
from .search.front import FrontPoint, pareto
from .search.inverse import drop_most
from .search.search import Evaluated, Progress
from .search.solver import Solution, Solver
from .search.space import Space

_PREFERRED_DTYPES = ("bfloat16", "float16", "float32")


def plan_without_weights(
    graph: Graph,
    *,
    budgets: tuple[Budget, ...],
    device: DeviceProfile,
    dtype: str | None = None,
    passes: Sequence[str] | None = None,
    nearest: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
    quantised: bool = False,
) -> Plan:
    """The plan of best expected fidelity among those that are predicted to hold the budgets.

    Candidates are single passes and schedules that have published results, at every place where they fit; passes
    without published results are left out, and so are combinations, of which no source reports any. With `fidelity>=`
    the goal is the lowest predicted TTFT.

    Args:
        graph: the uncompressed graph. dtype: of activations; by default the half precision that the device profile
            knows. quantised: whether the weights are.

    Raises:
        BadInput: nothing is published about the workload's modalities or the passes asked for.
        BudgetNotMet: nothing holds the budgets by prediction; the sentence says which limit binds and the nearest plan.
    """
    chosen = dtype or default_dtype(device)
    space = known_space(graph, passes)
    asked = [name for name in passes_with_prior(graph.layouts) if passes is None or name in passes]
    solver = Solver(space, CostModel(device, dtype=chosen), budgets)
    judge, floor = prior_judge(graph), _floor(budgets)
    ranked = _ranked(solver, judge, floor, progress)
    best = _best(solver, judge, ranked, floor, nearest=nearest)
    return assembled(
        solver,
        best,
        budgets=budgets,
        device=device_record(device, chosen),
        fidelity=prior_record(judge, best),
        ablation=ablation(solver, best.placements, judge),
        search=SearchRecord(
            seed=seed,
            trials=len(ranked),
            evaluated=len(ranked),
            sampler="",
            front=front_records(_front(solver, ranked), solver.baseline.ttft_ms),
            runners_up=runners_up(((item.solution, item.value) for item in ranked), best),
            left_out=left_out(space, asked),
        ),
        quantised=quantised,
    )


def known_space(graph: Graph, passes: Sequence[str] | None = None) -> Space:
    """The space of `graph`, of passes with published results alone.

    Raises:
        BadInput: there is none.
    """
    known = passes_with_prior(graph.layouts)
    found = Space.of(graph, known if passes is None else [name for name in known if name in passes])
    space = replace(found, options={name: steps for name, steps in found.options.items() if name in known})
    if not space.options:
        what = ", ".join(graph.layouts)
        raise BadInput(
            f"nothing is published about compressing {what} with these passes, so there is no prior; give the folder "
            "of a checkpoint with its weights and a calibration file, and fidelity is measured"
        )
    return space


def prior_record(judge: PriorJudge, solution: Solution) -> FidelityRecord:
    """The expected value, labelled as a prior, with its error on left-out sources."""
    plan = Plan.of(*solution.placements)
    found = judge.judge(plan)
    if found is None:  # only passes with published results are in the space
        raise BadInput(f"{unmet.label(solution)} has no prior; give weights and a calibration file")
    least = ((name, keep) for name, keep in judge.fit.least_keep.items() if name in judge.graph.layouts)
    shown = ", ".join(f"{100 * keep:.2g} % of {name} tokens" for name, keep in least)
    far = f"; extrapolated, since no source keeps fewer than {shown}" if judge.extrapolates(plan) else ""
    return FidelityRecord(
        kind="prior",
        value=rounded(found.value),
        interval=[rounded(bound) for bound in found.interval],
        samples=judge.samples,
        error=rounded(judge.fit.error),
        note=f"benchmark scores relative to the uncompressed model, expected from published tables{far}",
    )


def default_dtype(device: DeviceProfile) -> str:
    """The half precision that an accelerator has a rate for; float32 on processors, which rarely gain by less."""
    if device.kind == "cpu":
        return "float32"
    return next((dtype for dtype in _PREFERRED_DTYPES if dtype in device.peak_flops), "float32")


def _ranked(solver: Solver, judge: PriorJudge, floor: float | None, progress: Progress | None) -> list[Evaluated]:
    """Every decision that holds the budgets, best first: by value, or by predicted TTFT where there is a floor."""
    found = []
    decisions = [Decision.of(step) for step in solver.space.steps]
    for done, decision in enumerate(decisions, start=1):
        solution = _solved(solver, decision, judge, floor)
        value = None if solution is None else judge.judge(Plan.of(*solution.placements))
        if solution is not None and value is not None:
            found.append(Evaluated(solution, value.value, value.score))
        if progress:
            progress("search", done, len(decisions))
    return sorted(found, key=lambda item: _rank(item, floor))


def _solved(solver: Solver, decision: Decision, judge: PriorJudge, floor: float | None) -> Solution | None:
    """The decision's counts; None where the budgets or the floor cannot be held with it."""
    if floor is not None:
        return drop_most(solver, decision, judge, floor)
    solution = solver.solve(decision)
    return solution if solution.feasible else None


def _best(
    solver: Solver, judge: PriorJudge, ranked: list[Evaluated], floor: float | None, *, nearest: bool
) -> Solution:
    """The first of the ranking; nothing where that holds too; the nearest plan, or a complaint, where none does."""
    nothing = solver.solve(NOTHING)
    if nothing.feasible and (floor is None or not ranked or _slower(ranked[0].solution, nothing)):
        return nothing
    if ranked:
        return ranked[0].solution
    closest = unmet.nearest(solver, combined=False)
    if floor is not None and closest.feasible:
        value = judge.judge(Plan.of(*closest.placements))
        error = unmet.fidelity_not_met(floor, value.value if value else 0.0, closest)
    else:
        error = unmet.budget_not_met(solver, closest)
    if not nearest:
        raise error
    return closest


def _front(solver: Solver, ranked: Sequence[Evaluated]) -> tuple[FrontPoint, ...]:
    """The candidates that no other one beats in both predicted TTFT and expected value."""
    base = solver.baseline.ttft_ms
    return pareto(FrontPoint(unmet.label(c.solution), c.solution.prediction.ttft_ms / base, c.value) for c in ranked)


def _slower(first: Solution, second: Solution) -> bool:
    return first.prediction.ttft_ms >= second.prediction.ttft_ms


def _rank(item: Evaluated, floor: float | None) -> tuple[float, float]:
    ttft = item.solution.prediction.ttft_ms
    return (-item.value, ttft) if floor is None else (ttft, -item.value)


def _floor(budgets: Sequence[Budget]) -> float | None:
    """The fidelity that must be reached, None where the budgets ask for none."""
    return max((budget.limit for budget in budgets if budget.figure == "fidelity"), default=None)
