"""A good decision and one step more: what may join it, in which order, and how much the new step drops."""

from __future__ import annotations

import pytest

from foveate.cost_models import CostModel, load_profile
from foveate.ir.budget import Budget
from foveate.ir.graph import Graph
from foveate.planner.search.decision import Decision, Step
from foveate.planner.search.growth import grown, interleaved, naive, swapped
from foveate.planner.search.solver import Solver
from foveate.planner.search.space import Space
from foveate.planner.search.surrogate import Curve, Surrogate

EARLY, LATE = Step("divprune", ("encoder.layers.0.mid",)), Step("fastv", ("decoder.layers.2",))
DEEPER = Step("divprune", ("encoder.layers.2.mid",))


@pytest.fixture(scope="module")
def solver(testbed_graph: Graph) -> Solver:
    budgets = [Budget.parse("ttft<=40%")]
    return Solver(Space.of(testbed_graph, ["divprune", "fastv"]), CostModel(load_profile("generic-cpu")), budgets)


@pytest.fixture
def even(solver: Solver) -> Surrogate:
    return Surrogate({step: Curve(1e-3, 2.0) for step in solver.space.steps})


def test_one_step_joins_and_all_hold_the_budget(solver: Solver, even: Surrogate) -> None:
    found = list(grown(solver, even, Decision.of(EARLY), solver.space.steps))
    assert found
    for decision in found:
        assert len(decision.steps) == 2
        assert EARLY in decision.steps
        assert sum(decision.shares) == pytest.approx(1.0)
        assert solver.solve(decision).feasible


def test_kinds_of_sites_take_turns_and_the_least_loss_leads(solver: Solver, even: Surrogate) -> None:
    found = list(grown(solver, even, Decision.of(EARLY), solver.space.steps))
    added = [next(step for step in decision.steps if step != EARLY) for decision in found]
    kinds = {step.kind for step in added}
    assert len(kinds) > 1
    assert len({step.kind for step in added[: len(kinds)]}) == len(kinds)
    good = Surrogate({**even.curves, LATE: Curve(1e-9, 2.0)})
    assert LATE in next(grown(solver, good, Decision.of(EARLY), solver.space.steps)).steps


def test_the_new_step_drops_gently(solver: Solver, even: Surrogate) -> None:
    (decision,) = grown(solver, even, Decision.of(EARLY), [DEEPER])
    placed = solver.resolved(solver.solve(decision).placements).placed
    arriving, leaving = placed[1].tokens_in, placed[1].tokens_out
    assert 0.55 < leaving / arriving < 0.75


def test_known_ones_and_full_ones_are_left_out(solver: Solver, even: Surrogate) -> None:
    (pair,) = grown(solver, even, Decision.of(EARLY), [DEEPER])
    assert not list(grown(solver, even, Decision.of(EARLY), [DEEPER, EARLY], known={pair.alike}))
    (triple,) = grown(solver, even, pair, [LATE])
    assert triple.steps == (EARLY, DEEPER, LATE)
    assert not list(grown(solver, even, triple, solver.space.steps))


def test_another_pass_stands_in_the_same_place(solver: Solver, even: Surrogate) -> None:
    """Each position in turn, the least expected loss first; the shares stay unless the budget needs more early on."""
    pair = Decision.of(EARLY, DEEPER, shares=(3, 1))
    steps = solver.space.steps
    good = Step("uniform", DEEPER.places)
    found = list(swapped(solver, Surrogate({**even.curves, good: Curve(1e-9, 2.0)}), pair, steps))
    assert {tuple(step.places for step in decision.steps) for decision in found} == {(EARLY.places, DEEPER.places)}
    assert all(sum(a != b for a, b in zip(decision.steps, pair.steps, strict=True)) == 1 for decision in found)
    changed = [next(i for i in range(2) if decision.steps[i] != pair.steps[i]) for decision in found]
    assert changed[:4] == [0, 1, 0, 1]
    assert found[1].steps == (EARLY, good)
    assert found[1].shares == pytest.approx(pair.shares)
    assert all(solver.solve(decision).feasible for decision in found)
    assert found[1] not in list(swapped(solver, even, pair, steps, known={found[1].alike}))
    assert not list(swapped(solver, even, Decision.of(EARLY), steps))


def test_lists_are_taken_in_turn() -> None:
    first, second, third = (Decision.of(step) for step in (EARLY, DEEPER, LATE))
    assert interleaved([iter([first, second]), iter([second, third])], count=3) == (first, second, third)
    assert interleaved([iter([first]), iter([])], count=3) == (first,)


def test_the_best_singles_are_paired_evenly(solver: Solver) -> None:
    early = Step("random", ("encoder.layers.0.mid",))
    singles = [Decision.of(step) for step in (DEEPER, EARLY, early, LATE, Step("uniform", ("input",)))]
    found = list(naive(solver, [Decision.of(EARLY, LATE), *singles]))
    assert [decision.steps for decision in found] == [(early, DEEPER), (DEEPER, LATE), (early, LATE)]
    assert found[0].shares == (0.5, 0.5)
    assert all(solver.solve(decision).feasible for decision in found)
