"""The inverse goal: the least latency above a floor, with nothing else asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foveate.cost_models import CostModel
from foveate.ir.budget import Budget
from foveate.ir.graph import Graph
from foveate.ir.plan import Plan
from foveate.planner.job import Job
from foveate.planner.search.decision import Decision
from foveate.planner.search.solver import Solver
from foveate.planner.search.space import Space
from foveate.planner.studies.joining import join_job
from foveate.planner.studies.study import AIM, best_of

HARM = {"divprune": 0.2, "fastv": 0.15, "fastervlm": 0.5}
FLOOR = 0.9


@pytest.fixture
def make_job(testbed_graph: Graph, real_cost: CostModel, known_judge: Any) -> Any:
    def make(harm: dict[str, float], *more: Budget) -> Job:
        budgets = (Budget("fidelity", FLOOR), *more)
        solver = Solver(Space.of(testbed_graph, ("divprune", "fastervlm", "fastv")), real_cost, budgets)
        return Job(None, solver, budgets, (), (), lambda _: known_judge(harm), measure=False)

    return make


def fastest_single(job: Job) -> float:
    """The lowest predicted TTFT of any single pass at any place and count that reaches the floor."""
    judge, found = job.judge_of(()), []
    for step in job.solver.space.steps:
        for dropped in range(0, job.solver.space.tokens, 4):
            solution = job.solver.solution(Decision.of(step), dropped)
            value = judge.judge(Plan.of(*solution.placements))
            if value is not None and value.value >= FLOOR:
                found.append(solution.prediction.ttft_ms)
    return min(found)


def test_the_plan_is_as_fast_as_any_single_pass_above_the_floor(make_job: Any) -> None:
    job = make_job(HARM)
    choice = job.decide(job.search(trials=40, study=None))
    assert choice.fidelity.value >= FLOOR
    assert choice.ttft_ms <= 1.02 * fastest_single(job)


def test_other_limits_hold_too(make_job: Any) -> None:
    job = make_job(HARM, Budget.parse("memory<=99.5%"))
    choice = job.decide(job.search(trials=30, study=None))
    assert choice.fidelity.value >= FLOOR
    assert choice.solution.feasible


def test_where_no_pass_reaches_the_floor_nothing_is_tried_or_compressed(make_job: Any) -> None:
    job = make_job(dict.fromkeys(("divprune", "fastv", "fastervlm", "random", "uniform", "pool", "downsample"), 1e6))
    search = job.search(trials=30, study=None)
    assert search.ended == 0
    assert not search.study.trials
    assert "first" not in search.study.user_attrs  # not even the best single passes were looked at again
    assert job.decide(search).solution.placements == ()


def test_a_worker_that_joins_shares_the_aim(make_job: Any, tmp_path: Path) -> None:
    place = str(tmp_path / "study.db")
    job = make_job(HARM)
    first = job.search(trials=20, study=place)
    joined = job.joining(first.study, first.judge, seed=1)
    aim = first.study.user_attrs[AIM]
    for search in (first, joined):
        limits = [budget.limit for budget in search.solver.budgets if budget.figure == "ttft"]
        assert limits == [aim]
    assert join_job(job, place) == first.ended
    assert best_of(place, 1)
