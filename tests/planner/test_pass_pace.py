"""What single passes add to the cost model's error is timed, and plans are solved at the counts that they can have."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from stand_in_clock import StandInClock

import foveate
from foveate.cost_models import CostModel, load_profile
from foveate.ir.budget import Budget
from foveate.ir.graph import Graph
from foveate.ir.plan import Plan
from foveate.planner import verify
from foveate.planner.job import Job
from foveate.planner.pace import pass_paced
from foveate.planner.pass_pace import pass_pace, probes
from foveate.planner.search.batch_solver import least_dropped
from foveate.planner.search.decision import Decision, Step
from foveate.planner.search.solver import COMMON, Solver
from foveate.planner.search.space import Space
from foveate.planner.studies.study import PACE, join_study

EARLY, SLOW = Step("divprune", ("encoder.layers.1.mid",)), Step("random", ("encoder.layers.0.mid",))
LATE = Step("fastv", ("decoder.layers.3",))
STEPS = (EARLY, SLOW, Step("divprune", ("projector.output",)), Step("random", ("projector.output",)), LATE)

EVERY, EXTRA = 1.1, {"random": 1.2, "fastv": 1.3}
"""True over predicted time of every plan, and of every pass of these names on top."""


@pytest.fixture(scope="module")
def graph() -> Graph:
    return foveate.trace(foveate.testbed.load("image")[0], "image=1x224x224,text=8,new=5")


def solver_of(graph: Graph, text: str) -> Solver:
    space = Space.of(graph, ("divprune", "random", "fastv"))
    return Solver(space, CostModel(load_profile("generic-cpu")), [Budget.parse(text)])


def truth(plan: Plan | None) -> float:
    if plan is None:
        return 1.0
    return EVERY * math.prod(EXTRA.get(placement.method, 1.0) for placement in plan.placements)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, graph: Graph) -> list[int]:
    """Plans take `truth` times what is predicted; how many were timed in each call."""
    timed = StandInClock(solver_of(graph, "ttft<=50%"), truth)
    monkeypatch.setattr(verify, "compare", timed.compare)
    return timed.calls


def test_what_is_timed_covers_every_pass_and_some_pairs(graph: Graph) -> None:
    solver = solver_of(graph, "ttft<=50%")
    found = probes(solver, STEPS)
    assert {decision.steps[0] for decision in found if decision.is_single} == {*STEPS} - {LATE}
    assert any(LATE in decision.steps and len(decision.steps) == 2 for decision in found)
    assert any(LATE not in decision.steps and len(decision.steps) == 2 for decision in found)
    assert all(solver.solve(decision).feasible for decision in found)
    again = Step("divprune", ("encoder.layers.2.mid",))
    assert probes(solver, [*STEPS, again]) == found


def test_combinations_that_were_not_timed_hold_by_the_clock(graph: Graph, clock: list[int]) -> None:
    solver = solver_of(graph, "ttft<=50%")
    factors = pass_pace(solver, STEPS, None, {})
    assert factors["random@encoder.layer.mid"] > factors["divprune@encoder.layer.mid"]
    moved = pass_paced(solver, factors, otherwise=solver)
    triple = Decision.of(SLOW, EARLY, LATE, shares=(0.5, 0.4, 0.1))
    naive, known = (each.solve(triple) for each in (solver, moved))
    exact = EVERY * EXTRA["random"] * EXTRA["fastv"]
    assert moved.slower(triple) == pytest.approx(exact, rel=0.08)
    parts = [exact * s.prediction.ttft_ms / solver.baseline.ttft_ms for s in (naive, known)]
    assert parts[0] > 0.6
    assert parts[1] == pytest.approx(0.48, rel=0.08)
    assert len(clock) == 2


@pytest.fixture
def job(graph: Graph, clock: list[int], known_judge: Any, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setattr(Job, "_timing_inputs", lambda self: {})
    limit = Budget.parse("ttft<=50%")
    return Job(None, solver_of(graph, str(limit)), (limit,), (), (), lambda _: known_judge({}))


def test_the_pace_of_a_usual_plan_is_not_counted_again(job: Job, tmp_path: Path) -> None:
    place = str(tmp_path / "study.db")
    first = job.search(trials=1, study=place)
    joined = job.joining(join_study(place, question=job.question()), first.judge, seed=1)
    assert PACE in first.study.user_attrs
    for solver in (first.solver, joined.solver):
        for step in STEPS[:4]:
            solution = solver.solve(Decision.of(step))
            part = truth(Plan.of(*solution.placements)) * solution.prediction.ttft_ms / solver.baseline.ttft_ms
            assert part == pytest.approx(0.48, rel=0.05)


@pytest.mark.usefixtures("clock")
def test_the_vectorised_solver_goes_by_the_same_pace(graph: Graph) -> None:
    solver = solver_of(graph, "ttft<=50%")
    moved = solver.at_pace(pass_pace(solver, STEPS, None, {}))
    decisions = [Decision.of(SLOW, LATE, shares=(0.8, 0.2)), Decision.of(EARLY, LATE, shares=(0.8, 0.2))]
    found = least_dropped(moved, decisions)
    assert list(found.values()) == pytest.approx([moved.solve(each).dropped for each in decisions], abs=2)
    assert all(found[each] > least_dropped(solver, decisions)[each] for each in decisions)


def test_throughput_falls_where_passes_are_slow(graph: Graph) -> None:
    base = solver_of(graph, "ttft<=50%").baseline.throughput_per_s
    solver = solver_of(graph, f"throughput>={1.1 * base:.4f}/s").at_pace({COMMON: 1.1})
    slower, plain = solver.solve(Decision.of(EARLY)), solver.at_pace({}).solve(Decision.of(EARLY))
    assert slower.feasible
    assert slower.dropped > plain.dropped
    assert slower.prediction.throughput_per_s == pytest.approx(1.1 * plain.prediction.throughput_per_s, rel=0.03)


def test_memory_is_not_timed_and_nothing_is_no_plan(graph: Graph, clock: list[int]) -> None:
    assert pass_pace(solver_of(graph, "memory<=90%"), STEPS, None, {}) == {COMMON: 1.0}
    assert not clock
    solver = solver_of(graph, "memory<=90%").at_pace({COMMON: 9.0})
    assert solver.solve(Decision.of(EARLY)).placements == solver.at_pace({}).solve(Decision.of(EARLY)).placements
    assert solver.slower(Decision()) == 1.0


def test_a_pace_at_which_nothing_holds_is_left_aside(graph: Graph) -> None:
    solver = solver_of(graph, "ttft<=50%")
    assert pass_paced(solver, {COMMON: 50.0}, otherwise=solver) is solver
