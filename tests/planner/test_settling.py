"""Finalists settled by the clock: corrected where it disagrees, and no version kept for one lucky timing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from stand_in_clock import StandInClock

from foveate.ir.budget import Budget
from foveate.ir.graph import Graph
from foveate.planner import verify
from foveate.planner.search.decision import Decision
from foveate.planner.search.solver import Solver
from foveate.planner.search.space import Space
from foveate.planner.settling import SLACK, settle
from foveate.runtime import Figures

UNIFORM = Decision.of(("uniform", "projector.output"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, graph: Graph, token_cost: Any) -> Callable[..., StandInClock]:
    """Timing stands for the cost model's own figures, times a factor for what it gets wrong."""

    def install(*, slower: float = 1.0, heavier: float = 1.0) -> StandInClock:
        solver = Solver(Space.of(graph, ["fastv"]), token_cost(), ())
        timed = StandInClock(solver, lambda plan: slower if plan and plan.placements else 1.0, heavier=heavier)
        monkeypatch.setattr(verify, "compare", timed.compare)
        return timed

    return install


def settled(graph: Graph, token_cost: Any, text: str) -> Any:
    solver = Solver(Space.of(graph, ["fastv"]), token_cost(), [Budget.parse(text)])
    (found,) = settle(solver, [solver.solve(UNIFORM)], None, {})
    return found


def test_memory_must_hold_measured_and_predicted(clock: Any, graph: Graph, token_cost: Any) -> None:
    clock(heavier=0.5)  # one prefill takes less than all that is predicted
    assert settled(graph, token_cost, "memory<=0.08MiB").holds
    clock(heavier=1.5)
    found = settled(graph, token_cost, "memory<=0.08MiB")
    assert not found.holds
    assert found.excess == pytest.approx(0.5, abs=0.02)


def test_a_throughput_that_the_clock_denies_is_solved_again(clock: Any, graph: Graph, token_cost: Any) -> None:
    clock(slower=1.1)
    found = settled(graph, token_cost, "throughput>=80/s")
    assert found.holds
    assert found.excess > -0.08


def test_what_holds_is_timed_twice_and_both_timings_count(clock: Any, graph: Graph, token_cost: Any) -> None:
    timed = clock()
    found = settled(graph, token_cost, "ttft<=60%")
    assert timed.calls == [2, 2]  # it and the uncompressed model
    rounds = 41  # so short a prefill gets the most
    assert found.timing.plan.n == found.timing.plain.n == 2 * rounds
    assert found.timing.plan.tpot_samples.shape == (2 * rounds,)


def test_a_lucky_timing_is_not_kept(clock: Any, graph: Graph, token_cost: Any, monkeypatch: Any) -> None:
    """What is predicted to hold misses in truth, and the first timing flatters it so that it seems to hold."""
    slower = 1.03
    truth = clock(slower=slower)

    def flattering(
        model: Any, inputs: Any, plans: Mapping[str, Any], *, rounds: int, **rest: Any
    ) -> dict[str, Figures]:
        first = not truth.calls
        found = truth.compare(model, inputs, plans, rounds=rounds, **rest)
        return {name: _faster(each) if first and plans[name] else each for name, each in found.items()}

    monkeypatch.setattr(verify, "compare", flattering)
    found = settled(graph, token_cost, "ttft<=60%")
    part = found.solution.prediction.ttft_ms / Solver(Space.of(graph, ["fastv"]), token_cost(), ()).baseline.ttft_ms
    assert 0.6 * (1 - SLACK) < part * slower <= 0.6


def _faster(figures: Figures) -> Figures:
    return Figures.of(figures.ttft_samples * 0.96, figures.tpot_samples, kv_bytes=0, peak_bytes=figures.peak_bytes)


def test_a_candidate_that_no_count_mends_is_timed_once(clock: Any, graph: Graph, token_cost: Any) -> None:
    timed = clock()
    solver = Solver(Space.of(graph, ["fastv"]), token_cost(), [Budget.parse("ttft<=100s")])
    (found,) = settle(solver, [solver.solve(UNIFORM)], None, {})
    assert found.holds
    assert len(timed.calls) == 1
