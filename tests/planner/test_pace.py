"""The cost model's error is taken out of a search before it begins."""

from __future__ import annotations

import pytest
from stand_in_clock import StandInClock

import foveate
from foveate.cost_models import CostModel, load_profile
from foveate.ir.budget import Budget
from foveate.planner import verify
from foveate.planner.pace import pace, paced, yardsticks
from foveate.planner.search.solver import Solver
from foveate.planner.search.space import Space

SLOWER = 1.25
"""True over predicted time of every plan, beside that of the uncompressed model."""


def solver_of(*budgets: Budget) -> Solver:
    graph = foveate.trace("llava-1.5-7b", "image=1x336x336,text=32")
    return Solver(Space.of(graph, ("random", "fastv")), CostModel(load_profile("generic-cpu")), budgets)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every plan takes `SLOWER` times what is predicted, the uncompressed model what is predicted."""
    timed = StandInClock(solver_of(), lambda plan: SLOWER if plan else 1.0)
    monkeypatch.setattr(verify, "compare", timed.compare)


def test_one_pass_at_each_kind_of_site_is_the_yardstick() -> None:
    found = yardsticks(solver_of(Budget("ttft", 0.6, relative=True)))
    assert {solution.decision.steps[0].kind for solution in found} >= {
        "encoder.layer",
        "projector.output",
        "decoder.layer",
    }
    assert {s.decision.methods for s in found if s.decision.steps[0].kind != "input"} == {("random",)}
    assert all(solution.feasible for solution in found)


@pytest.mark.usefixtures("clock")
def test_what_holds_by_prediction_holds_by_the_clock() -> None:
    limit = Budget("ttft", 0.6, relative=True)
    solver = solver_of(limit)
    factors = pace(solver, None, {})
    assert factors == {str(limit): pytest.approx(SLOWER)}
    moved = paced(solver, factors)
    for solution in yardsticks(moved):
        part = solution.prediction.ttft_ms * SLOWER / solver.baseline.ttft_ms
        coarse = solution.decision.methods == ("downsample",)
        assert limit.limit * (0.8 if coarse else 0.95) < part <= limit.limit


@pytest.mark.usefixtures("clock")
def test_budgets_on_memory_are_left_alone() -> None:
    solver = solver_of(Budget("memory", 0.999, relative=True))
    assert pace(solver, None, {}) == {}
    assert paced(solver, {}).budgets == solver.budgets


@pytest.mark.parametrize("factor", [50.0, 0.4])
def test_limits_that_nothing_or_the_uncompressed_model_would_hold_are_not_moved(factor: float) -> None:
    solver = solver_of(Budget("ttft", 0.5, relative=True))
    assert paced(solver, {str(solver.budgets[0]): factor}) is solver
