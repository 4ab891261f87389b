"""The cost model's error is taken out of a search before it begins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import foveate
from foveate.cost_models import CostModel, load_profile
from foveate.ir.budget import Budget
from foveate.ir.plan import Plan
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
    known = solver_of()

    def compare(_: Any, __: Any, plans: dict[str, Plan | None], *, rounds: int, new_tokens: int) -> dict[str, Any]:
        found = {}
        for name, plan in plans.items():
            predicted = known.predict(plan.placements if plan else ())
            factor = SLOWER if plan else 1.0
            samples = np.full(rounds, factor * predicted.ttft_ms)
            found[name] = SimpleNamespace(
                ttft_ms=samples[0], ttft_samples=samples, tpot_ms=factor * predicted.tpot_ms, peak_bytes=0
            )
        return found

    monkeypatch.setattr(verify, "compare", compare)


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
