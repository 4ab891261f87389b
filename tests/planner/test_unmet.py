"""The nearest plan: whether any plan of the space can hold a budget, and which one comes nearest."""

from __future__ import annotations

import pytest

import foveate
from foveate.common.errors import BudgetNotMet
from foveate.cost_models import CostModel, load_profile
from foveate.ir.budget import Budget
from foveate.ir.graph import Graph
from foveate.planner import unmet
from foveate.planner.search.decision import Decision
from foveate.planner.search.solver import Solver
from foveate.planner.search.space import Space


@pytest.fixture(scope="module")
def both() -> Graph:
    """Pictures and a clip in one request, of like weight."""
    return foveate.trace("qwen2_vl", "image=4x448x448,video=8x448x448,text=16,new=4")


def solver_of(graph: Graph, *passes: str, part: float = 0.5) -> Solver:
    found = Space.of(graph, passes)
    space = Space(graph, {name: steps for name, steps in found.options.items() if name in passes})
    return Solver(space, CostModel(load_profile("generic-cpu")), [Budget("ttft", part, relative=True)], margin=0.0)


def least(solver: Solver, decisions: list[Decision]) -> float:
    """The lowest predicted TTFT that any of `decisions` reaches, as a part of the uncompressed model's."""
    found = [solver.solution(each, solver.space.tokens - 1).prediction.ttft_ms for each in decisions]
    return min(found) / solver.baseline.ttft_ms


def test_one_pass_on_all_modalities_comes_nearest(both: Graph) -> None:
    solver = solver_of(both, "random", part=0.001)
    floor = unmet.nearest(solver)
    every = [Decision.of(step) for step in solver.space.steps]
    alone = [each for each in every if each.steps[0].modality is not None]
    assert floor.prediction.ttft_ms / solver.baseline.ttft_ms < least(solver, alone)
    assert floor.prediction.ttft_ms / solver.baseline.ttft_ms == pytest.approx(least(solver, every), rel=0.02)


def test_the_first_place_holds_what_the_usual_one_does_not(both: Graph) -> None:
    solver = solver_of(both, "fastv")
    usual, first = (least(solver, list(made)) for made in (solver.space.singles(), solver.space.earliest()))
    assert first < usual
    between = solver.within([Budget("ttft", (first + usual) / 2, relative=True)])
    assert unmet.nearest(between).feasible


def test_two_passes_hold_what_none_holds_alone(both: Graph) -> None:
    """One pass that takes pictures alone, another that takes clips alone."""
    space = Space.of(both, ("random",))
    steps = tuple(step for step in space.options["random"] if step.modality and step.kind == "projector.output")
    assert len(steps) == 2
    solver = Solver(
        Space(both, {"random": steps}), CostModel(load_profile("generic-cpu")), [Budget("ttft", 0.5, relative=True)]
    )
    alone = least(solver, [Decision.of(step) for step in steps])
    together = least(solver, [Decision.of(*steps)])
    assert together < alone
    between = solver.within([Budget("ttft", (alone + together) / 2, relative=True)])
    assert not unmet.nearest(between, combined=False).feasible
    found = unmet.nearest(between)
    assert found.feasible
    assert len(found.decision.steps) == 2


def test_the_floor_is_told(both: Graph) -> None:
    solver = solver_of(both, "random", part=0.001)
    error = unmet.budget_not_met(solver, unmet.nearest(solver))
    assert isinstance(error, BudgetNotMet)
    assert "cannot be held: its floor is" in str(error)
