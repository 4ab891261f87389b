"""The solver: budgets held and met tightly, against an exhaustive search over all counts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foveate.ir.budget import Budget
from foveate.ir.graph import Graph
from foveate.planner.solver import Solver, figure
from foveate.planner.space import ALWAYS, Decision, Space

PLAIN = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DECISIONS = st.one_of(
    st.builds(Decision, first=st.sampled_from(["uniform", "divprune", "pool"])),
    st.builds(Decision, first=st.none(), second=st.just("fastv"), layer=st.integers(1, 5), share=st.just(0.0)),
    st.builds(
        Decision,
        first=st.sampled_from(["uniform", "fastervlm", "pool"]),
        second=st.sampled_from(["fastv", "random"]),
        layer=st.integers(1, 5),
        share=st.floats(0.05, 0.95),
    ),
)


def brute_force(solver: Solver, decision: Decision) -> int | None:
    """The fewest dropped tokens that hold every budget with the margin, by trying all counts."""
    for dropped in range(solver.space.tokens):
        if solver.solution(decision, dropped).feasible:
            return dropped
    return None


@PLAIN
@given(decision=DECISIONS, percent=st.integers(15, 99), per_token=st.floats(1e-4, 1.0))
def test_solutions_are_the_least_that_hold(
    graph: Graph, token_cost: Any, decision: Decision, percent: int, per_token: float
) -> None:
    budget = Budget.parse(f"ttft<={percent}%")
    solver = Solver(Space.of(graph), token_cost(per_token), [budget])
    solution, expected = solver.solve(decision), brute_force(solver, decision)
    assert solution.feasible == (expected is not None)
    assert solution.dropped == (solver.space.tokens - 1 if expected is None else expected)
    if solution.feasible:
        assert budget.holds(solution.prediction.ttft_ms, solver.baseline.ttft_ms)


@pytest.mark.parametrize("percent", [40, 60, 75, 90])
def test_single_passes_meet_the_budget_tightly(graph: Graph, token_cost: Any, percent: int) -> None:
    solver = Solver(Space.of(graph), token_cost(), [Budget.parse(f"ttft<={percent}%")], margin=0.0)
    ratio = solver.solve(Decision(first="uniform")).prediction.ttft_ms / solver.baseline.ttft_ms
    one_token = 0.01 * graph.decoder.depth / solver.baseline.ttft_ms
    assert percent / 100 - one_token < ratio <= percent / 100


@pytest.mark.parametrize(
    "text", ["ttft<=12ms", "tpot<=85%", "latency<=80%", "memory<=70%", "throughput>=90/s", "ttft<=80%"]
)
def test_every_figure_can_be_a_budget(graph: Graph, token_cost: Any, text: str) -> None:
    budget = Budget.parse(text)
    solver = Solver(Space.of(graph), token_cost(), [budget])
    base = figure(solver.baseline, budget.figure)
    assert not budget.holds(base, base)
    solution = solver.solve(Decision(first="divprune", second="fastv", layer=2, share=0.5))
    assert budget.holds(figure(solution.prediction, budget.figure), base)
    assert solution.binding == budget


def test_the_tightest_of_several_budgets_binds(graph: Graph, token_cost: Any) -> None:
    loose, tight = Budget.parse("ttft<=90%"), Budget.parse("memory<=60%")
    solution = Solver(Space.of(graph), token_cost(), [loose, tight]).solve(Decision(first="uniform"))
    assert solution.binding == tight
    assert solution.feasible


def test_a_correction_moves_the_counts_by_as_much(graph: Graph, token_cost: Any) -> None:
    budget = Budget.parse("ttft<=70%")
    solver = Solver(Space.of(graph), token_cost(), [budget])
    decision = Decision(first="uniform")
    corrected = solver.solve(decision, corrections={budget: 1.1})
    assert 1.1 * corrected.prediction.ttft_ms <= 0.7 * solver.baseline.ttft_ms
    assert corrected.dropped > solver.solve(decision).dropped


@pytest.mark.parametrize("layer", [1, 3, 5])
@pytest.mark.parametrize("percent", [40, 60, 80])
def test_the_least_share_is_on_the_edge(graph: Graph, token_cost: Any, layer: int, percent: int) -> None:
    solver = Solver(Space.of(graph), token_cost(), [Budget.parse(f"ttft<={percent}%")])
    least = solver.least_share("uniform", "fastv", layer)
    assert least is not None
    assert solver.solve(Decision("uniform", "fastv", layer, least)).feasible
    if least > 0:
        assert not solver.solve(Decision("uniform", "fastv", layer, least - 1 / 64)).feasible


def test_the_space_holds_what_the_passes_say(graph: Graph) -> None:
    space = Space.of(graph)
    assert "fastervlm" in space.first
    assert "fastervlm" not in space.second
    assert "fastv" in space.second
    assert "fastv" not in space.first
    assert space.layers == (1, 2, 3, 4, 5)


def test_baselines_are_always_candidates(graph: Graph) -> None:
    space = Space.of(graph, passes=["fastv"])
    assert set(space.first) == set(ALWAYS)
    assert set(space.second) == {*ALWAYS, "fastv"}


def test_query_aware_passes_leave_the_space_of_a_dialogue(graph: Graph) -> None:
    from dataclasses import replace

    dialogue = replace(graph, workload=replace(graph.workload, turns=3))
    assert "fastv" not in Space.of(dialogue).second
    assert "divprune" in Space.of(dialogue).second


@PLAIN
@given(decision=DECISIONS, dropped=st.integers(0, 255))
def test_placements_leave_what_they_say(graph: Graph, decision: Decision, dropped: int) -> None:
    from foveate.runtime import resolve

    space = Space.of(graph)
    placed = resolve(graph, space.placements(decision, dropped)).placed
    left = placed[-1].tokens_out if placed else space.tokens
    if "pool" in (decision.first, decision.second):
        assert left <= space.tokens
    else:
        assert left == space.tokens - dropped
