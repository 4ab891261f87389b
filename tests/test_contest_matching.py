"""The planner's contest: rivals are brought to the plan's time whatever the cost model gets wrong."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from benchmark_packages import load_script
from stand_in_clock import StandInClock

import foveate
from foveate.common.timing import Interval
from foveate.cost_models import CostModel, load_profile
from foveate.ir.budget import Budget
from foveate.ir.plan import Plan
from foveate.planner.search.decision import Decision, Step
from foveate.planner.search.solver import Solver
from foveate.planner.search.space import Space

ERRORS = {"divprune": 1.0, "fastv": 1.3, "random": 0.8}
"""True over predicted TTFT of plans with these passes."""


@pytest.fixture
def matching() -> Any:
    return [load_script(name) for name in ("_marks", "_contest", "_matching")][-1]


@pytest.fixture(scope="module")
def solver() -> Solver:
    graph = foveate.trace("llava-1.5-7b", "image=1x336x336,text=32")
    space = Space.of(graph, tuple(ERRORS))
    return Solver(space, CostModel(load_profile("generic-cpu")), [Budget("ttft", 0.6, relative=True)])


def clock(solver: Solver, noise: np.random.Generator) -> StandInClock:
    """Plans are as slow as `ERRORS` says of their first pass, and every run has noise."""

    def slower(plan: Plan | None) -> float:
        return ERRORS[plan.placements[0].method] if plan and plan.placements else 1.0

    return StandInClock(solver, slower, noise=lambda rounds: np.exp(noise.normal(0.0, 0.03, rounds)))


def test_every_rival_takes_as_long_as_the_plan(matching: Any, solver: Solver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "compare", clock(solver, np.random.default_rng(0)).compare)
    plan = Plan.of(*solver.solve(Decision.of(Step("divprune", ("projector.output",)))).placements)
    rivals = {
        "best single": Decision.of(Step("fastv", ("decoder.layers.2",))),
        "random": Decision.of(Step("random", ("projector.output",))),
        "two best": Decision.of(Step("random", ("projector.output",)), Step("fastv", ("decoder.layers.4",))),
    }
    found = matching.matched(solver, plan, rivals, None, {}, rounds=31)
    assert [rival.name for rival in found] == ["plan", *rivals]
    pace = solver.predict(plan.placements).ttft_ms
    for rival in found[1:]:
        true = solver.predict(rival.plan.placements).ttft_ms * ERRORS[rival.plan.placements[0].method]
        assert true / pace == pytest.approx(1.0, abs=0.025)
        assert rival.beside == pytest.approx(true / pace, abs=0.025)


def test_a_decision_that_cannot_come_so_far_down_is_left_out(
    matching: Any, solver: Solver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "compare", clock(solver, np.random.default_rng(1)).compare)
    early = Solver(solver.space, solver.cost, [Budget("ttft", 0.3, relative=True)])
    plan = Plan.of(*early.solve(Decision.of(Step("divprune", ("projector.output",)))).placements)
    late = {"best single": Decision.of(Step("fastv", ("decoder.layers.24",)))}
    assert [r.name for r in matching.matched(solver, plan, late, None, {}, rounds=31)] == ["plan"]


def test_a_pair_that_drops_whole_frames_moves_its_shares_to_come_near(matching: Any) -> None:
    graph = foveate.trace("qwen2.5-vl-7b", "video=16x448x448,text=32")
    space = Space.of(graph, ("uniform-frames", "divprune"))
    solver = Solver(space, CostModel(load_profile("generic-cpu")), [])
    pair = Decision.of(Step("uniform-frames", ("input",)), Step("divprune", ("projector.output",)))
    found, off = [], []
    for part in np.linspace(0.3, 0.7, 12):
        limit = part * solver.baseline.ttft_ms
        within = solver.within([Budget("ttft", limit)], margin=0.0)
        off.append(abs(within.solve(pair).prediction.ttft_ms / limit - 1))
        nearest = matching._nearest(solver, pair, limit, matching.Errors())
        found.append(abs(nearest.prediction.ttft_ms / limit - 1))
    assert max(off) > 0.02
    assert max(found) < 0.01


def test_rivals_are_as_far_apart_as_the_one_that_could_have_matched_but_does_not(matching: Any, solver: Solver) -> None:
    rival = sys.modules["_contest"].Rival
    plans = {
        name: Plan.of(*solver.solve(Decision.of(Step(name, ("projector.output",)))).placements)
        for name in ERRORS
        if name != "fastv"
    }
    plan = rival("plan", plans["divprune"], Interval(0.3, 0.3, 0.3))
    single = rival("best single", plans["random"], Interval(0.312, 0.3, 0.32), 1.04)
    pooled = Plan.from_yaml(plans["random"].to_yaml().replace("random", "pool"))
    assert matching.apart([plan]) == 0.0
    assert matching.apart([plan, single, rival("pool", pooled, Interval(0.2, 0.2, 0.2), 0.7)]) == pytest.approx(0.04)


def test_a_baseline_stands_where_it_can_be_fast_enough(solver: Solver) -> None:
    contest = [load_script(name) for name in ("_marks", "_contest")][-1]
    pools = [Decision.of(solver.space.options["pool"][number]) for number in (-1, 0)]  # the deepest place saves least
    free = Solver(solver.space, solver.cost, [Budget("ttft", 0.01, relative=True)])
    late, early = (free.solve(pool).prediction.ttft_ms / free.baseline.ttft_ms for pool in pools)
    assert early < late
    for limit, expected in ((late / 0.9, pools[1]), (late / 0.8, pools[0]), (0.9 * early, pools[0])):
        limited = Solver(solver.space, solver.cost, [Budget("ttft", limit, relative=True)], margin=0.0)
        assert contest.reaching(limited, pools) == expected
