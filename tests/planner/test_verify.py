"""Measured figures against budgets, and who reaches the final."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from stand_in_clock import StandInClock

from foveate.ir.budget import Budget
from foveate.ir.graph import Graph
from foveate.ir.workload import Workload
from foveate.planner import verify
from foveate.planner.search.decision import Decision, Step
from foveate.planner.search.search import Search
from foveate.planner.search.solver import Solver
from foveate.planner.search.space import Space
from foveate.planner.verify import Timing, excess, finalists, settle
from foveate.runtime import Figures

WORK = Workload.parse("image=1x224x224,text=16,new=5")


def figures(ttft: float, *, tpot: float | None = 2.0, peak: int = 1000) -> Figures:
    return Figures(ttft, (ttft, ttft), np.full(5, ttft), tpot, 0, peak, 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ttft<=60%", 0.5 / 0.6 - 1),
        ("ttft<=8ms", 10 / 8 - 1),
        ("tpot<=50%", 1.0),
        ("latency<=18ms", 0.0),
        ("memory<=80%", 0.5 / 0.8 - 1),
        ("throughput>=50/s", 50 / (1000 / 18) - 1),
    ],
)
def test_measured_figures_against_their_limits(text: str, expected: float) -> None:
    timing = Timing(figures(10.0, peak=500), figures(20.0))
    assert excess(Budget.parse(text), timing, WORK) == pytest.approx(expected)


def test_what_one_request_cannot_show_is_not_measured() -> None:
    timing = Timing(figures(10.0), figures(20.0))
    assert excess(Budget.parse("throughput>=50/s"), timing, replace(WORK, concurrency=4)) is None
    untimed = Timing(figures(10.0, tpot=None), figures(20.0, tpot=None))
    assert excess(Budget.parse("latency<=80%"), untimed, WORK) is None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, graph: Graph, token_cost: Any) -> Callable[..., None]:
    """Timing stands for the cost model's own figures, times a factor for what it gets wrong."""

    def install(*, slower: float = 1.0, heavier: float = 1.0) -> None:
        solver = Solver(Space.of(graph, ["fastv"]), token_cost(), ())
        timed = StandInClock(solver, lambda plan: slower if plan and plan.placements else 1.0, heavier=heavier)
        monkeypatch.setattr(verify, "compare", timed.compare)

    return install


def settled(graph: Graph, token_cost: Any, text: str) -> Any:
    solver = Solver(Space.of(graph, ["fastv"]), token_cost(), [Budget.parse(text)])
    (found,) = settle(solver, [solver.solve(Decision.of(("uniform", "projector.output")))], None, {})
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


def test_the_final_has_the_best_and_the_best_singles(make_search: Callable[..., Search]) -> None:
    first, second = Step("divprune", ("projector.output",)), Step("fastv", ("decoder.layers.2",))
    later, last = Step("fastv", ("decoder.layers.3",)), Step("fastv", ("decoder.layers.4",))
    pair, near, like = (Decision.of(first, other) for other in (second, later, last))
    ranked: Any = [
        SimpleNamespace(solution=SimpleNamespace(decision=decision))
        for decision in (pair, near, like, *map(Decision.of, (second, later, last, first)))
    ]
    alone = [Decision.of(second), Decision.of(later), Decision.of(first)]
    assert finalists(ranked) == [pair, near, *alone, Decision.of(last)]
    assert finalists(ranked, best=3, singles=2) == [pair, near, Decision.of(second), Decision.of(later)]
