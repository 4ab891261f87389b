"""Narrowing: counts solved for all combinations at once, against the solver one by one; and what they should lose."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest

from foveate.common.errors import BadInput
from foveate.cost_models import CostModel, load_profile
from foveate.ir.budget import Budget
from foveate.ir.graph import Graph
from foveate.ir.tracing import trace
from foveate.planner.search import batch_solver, narrowing
from foveate.planner.search.batch_solver import countable, least_dropped
from foveate.planner.search.decision import Decision, Step
from foveate.planner.search.narrowing import narrow, remaining_after
from foveate.planner.search.neighbours import neighbours
from foveate.planner.search.screening import Screen, screened, screening_steps
from foveate.planner.search.shortlist import Shortlist, shortlisted
from foveate.planner.search.solver import Solver
from foveate.planner.search.space import Space
from foveate.planner.search.surrogate import Curve, Point, Surrogate
from foveate.testbed import load

EARLY, LATE = Step("divprune", ("projector.output",)), Step("fastv", ("decoder.layers.2",))
STAGED = Step("fastv", ("decoder.layers.1", "decoder.layers.3"))


@pytest.fixture(scope="module")
def solver(testbed_graph: Graph) -> Solver:
    budgets = [Budget.parse("ttft<=60%")]
    return Solver(Space.of(testbed_graph, ["divprune", "fastv"]), CostModel(load_profile("generic-cpu")), budgets)


@pytest.fixture
def even(solver: Solver) -> Surrogate:
    """Every step loses the same alone."""
    return Surrogate({step: Curve(1e-3, 2.0) for step in solver.space.steps})


def test_counts_are_those_of_the_solver(solver: Solver) -> None:
    decisions = [
        Decision.of(EARLY, LATE, shares=(0.3, 0.7)),
        Decision.of(EARLY, LATE, shares=(0.9, 0.1)),
        Decision.of(EARLY, STAGED, shares=(0.5, 0.5)),
        Decision.of(EARLY, ("random", "decoder.layers.1"), ("fastv", "decoder.layers.4"), shares=(0.4, 0.4, 0.2)),
        Decision.of(("random", "decoder.layers.4"), ("fastv", "decoder.layers.5")),
    ]
    dropped = least_dropped(solver, decisions)
    exact = {d: solution for d in decisions if (solution := solver.solve(d)).feasible}
    assert list(dropped) == list(exact) == decisions[:-1]
    assert list(dropped.values()) == pytest.approx([solution.dropped for solution in exact.values()], abs=2)


def test_the_best_are_feasible_and_in_order(solver: Solver, even: Surrogate) -> None:
    steps = [*solver.space.options["fastv"][:6], *solver.space.options["divprune"][-6:]]
    found = narrow(solver, even, steps, count=10)
    assert found.considered > 100_000
    assert 0 < found.feasible < found.considered / solver.space.tokens
    assert all(a <= b for a, b in pairwise(found.losses))
    assert len({decision.steps for decision in found.best}) == 10
    for decision in found.best:
        assert solver.space.allowed(decision)
        assert solver.solution(decision, solver.space.tokens - 1).feasible


def test_what_is_proposed_is_varied(solver: Solver, even: Surrogate) -> None:
    """One step that looks too good stands in a few of each size, not in all of them; pairs and triples take turns."""
    steps = [*solver.space.options["fastv"][:4], *solver.space.options["divprune"][:4], *solver.space.options["random"]]
    curves = {step: Curve(1e-3, 2.0) for step in solver.space.steps} | {LATE: Curve(1e-9, 2.0)}
    best = narrow(solver, Surrogate(curves), [*steps, LATE], count=8).best
    sizes = Counter(len(decision.steps) for decision in best)
    assert (sizes[2], sizes[3]) == (4, 4)
    for size in (2, 3):
        assert sum(LATE in decision.steps for decision in best if len(decision.steps) == size) == narrowing._SHARED
    triples = [decision for decision in best if len(decision.steps) == 3]
    assert all(len({*a.steps} & {*b.steps}) < 2 for a, b in combinations(triples, 2))


def test_expectations_are_discounted_by_the_table(solver: Solver, even: Surrogate, monkeypatch: Any) -> None:
    decision = Decision.of(EARLY, LATE)
    helpful = Surrogate({EARLY: Curve(1e-3, 3.0), LATE: Curve(5e-3, 1.0)})
    alone = min(float(helpful.loss(Decision.of(s), [0.25])) for s in (EARLY, LATE))
    monkeypatch.setattr(Space, "gain", lambda self, steps: 1.0)
    undisturbed = narrowing._expected(solver, helpful, decision, 192)
    monkeypatch.setattr(Space, "gain", lambda self, steps: 0.5)
    discounted = narrowing._expected(solver, helpful, decision, 192)
    assert undisturbed == pytest.approx(float(helpful.loss(decision, remaining_after(decision, 0.75))))
    assert undisturbed < alone
    assert discounted == pytest.approx((undisturbed + alone) / 2)


def test_without_a_cost_model_nothing_is_narrowed(graph: Graph, token_cost: Any, even: Surrogate) -> None:
    other = Solver(Space.of(graph), token_cost(), [Budget.parse("ttft<=60%")])
    assert narrow(other, even, other.space.steps, count=3).best == ()


def test_a_curve_goes_through_what_was_measured() -> None:
    truth = Curve(0.01, 1.5)
    points = [Point(r, float(np.exp(-truth.loss(r)))) for r in (0.05, 0.1, 0.2, 0.4, 0.7, 0.9)]
    found = Curve.fit(points)
    assert found.power == pytest.approx(1.5, abs=0.1)
    assert found.loss(0.3) == pytest.approx(truth.loss(0.3), rel=0.2)
    assert Curve.fit(points[:1]).power == pytest.approx(2.0)


def test_a_combination_loses_what_its_steps_add_along_the_flow() -> None:
    curves = {EARLY: Curve(0.02, 2.0), LATE: Curve(0.001, 1.0)}
    both = float(Surrogate(curves).loss(Decision.of(EARLY, LATE), [0.5, 0.1]))
    early, late = curves[EARLY], curves[LATE]
    assert both == pytest.approx(float(early.loss(0.5) + late.loss(0.1) - late.loss(0.5)))


def test_a_step_that_was_not_measured_takes_its_neighbours_curve() -> None:
    near, far = Step("fastv", ("decoder.layers.2",)), Step("fastv", ("decoder.layers.9",))
    surrogate = Surrogate({near: Curve(1.0, 1.0), far: Curve(2.0, 2.0)})
    assert surrogate.curve(Step("fastv", ("decoder.layers.3",))) == Curve(1.0, 1.0)
    assert surrogate.curve(EARLY) is None
    assert np.isinf(surrogate.loss(Decision.of(EARLY), [0.5]))


def test_measured_pairs_correct_what_is_expected_of_them() -> None:
    surrogate = Surrogate({EARLY: Curve(0.01, 2.0), LATE: Curve(0.01, 2.0)})
    pair = Decision.of(EARLY, LATE)
    before = float(surrogate.loss(pair, [0.5, 0.2]))
    for _ in range(50):
        surrogate.learn(pair, [0.5, 0.2], float(np.exp(-3 * before)))
    assert float(surrogate.loss(pair, [0.5, 0.2])) == pytest.approx(3 * before, rel=0.05)
    assert surrogate.factor(["divprune"]) == 1.0


def test_the_screen_ranks_passes_by_their_harm(solver: Solver, known_judge: Any) -> None:
    harm = {"divprune": 0.05, "fastv": 4.0, "random": 8.0, "uniform": 8.0, "pool": 8.0, "downsample": 8.0}
    screen = screened(solver, known_judge(harm), profile={})
    assert screen.ranked()[0].method == "divprune"
    shortlist = shortlisted(solver, known_judge(harm), screen)
    assert Shortlist.from_data(shortlist.to_data()) == shortlist
    first = shortlist.first
    assert first[0].methods == ("divprune",)
    assert {"random", "uniform", "pool"} <= {decision.methods[0] for decision in first}
    assert all(solver.solve(decision).feasible for decision in first)
    twice = [step for step, points in screen.points.items() if len(points) == 2]
    assert len(twice) >= len(screen.points) // 4
    assert screen.ranked()[0] in twice


def test_the_best_passes_inside_the_encoder_are_screened_at_its_other_layers(solver: Solver, known_judge: Any) -> None:
    harm = dict.fromkeys(solver.space.methods, 8.0) | {"divprune": 0.05}
    judge = known_judge(harm, harm_at={"divprune@image.encoder.layers.0.mid": 0.01})
    usual = next(step for step in screening_steps(solver) if step.method == "divprune" and "mid" in step.kind)
    screen = screened(solver, judge, profile={})
    early = Step("divprune", ("encoder.layers.0.mid",))
    assert usual != early
    assert screen.ranked()[0] == early
    assert early in screen.mixable()
    assert usual in screen.mixable()
    assert screened(solver, judge, profile={}).points == screen.points


def test_a_second_look_mends_a_lucky_first_one(solver: Solver, known_judge: Any) -> None:
    harm = {"divprune": 0.05, "fastv": 4.0, "random": 8.0, "uniform": 8.0, "pool": 8.0, "downsample": 8.0}
    screen = screened(solver, known_judge(harm), profile={})
    lucky = {
        step: (Point(points[0].remaining, 1.0),) for step, points in screen.points.items() if step.method == "random"
    }
    misled = Screen({**screen.points, **lucky}, screen.remaining)
    assert misled.ranked()[0].method == "random"
    shortlist = shortlisted(solver, known_judge(harm), misled)
    assert shortlist.first[0].methods == ("divprune",)
    sharpened = misled.sharpened(shortlist.seen).ranked()
    assert next(step for step in sharpened if step in shortlist.seen).method == "divprune"


def test_the_best_of_each_kind_is_mixed_though_it_cannot_hold_the_budget_alone() -> None:
    early = [Step("divprune", (f"encoder.layers.{layer}.mid",)) for layer in range(20)]
    late = [Step(method, ("decoder.layers.2",)) for method in ("random", "fastv")]
    steps = [*early, *late]
    points = {step: (Point(0.3, 0.99 if step.method == "fastv" else 0.9),) for step in steps}
    screen = Screen(points, dict.fromkeys(steps, 0.3), frozenset(late))
    assert screen.ranked()[-2:] == [late[1], late[0]]
    assert set(late) <= set(screen.mixable())
    assert not set(early) <= set(screen.mixable())


def test_neighbours_differ_in_one_place_or_in_the_shares(solver: Solver) -> None:
    pair = Decision.of(EARLY, LATE, shares=(0.7, 0.3))
    near = neighbours(solver, [pair], count=20)
    assert near
    assert pair not in near
    for other in near:
        assert solver.solve(other).feasible
        assert other.methods == pair.methods
        moved = [a for a, b in zip(pair.steps, other.steps, strict=True) if a != b]
        assert len(moved) <= 1
        assert sum(other.shares) == pytest.approx(1.0)
    assert neighbours(solver, [pair], count=2) == near[:2]
    assert neighbours(solver, [pair], count=20, known={each.alike for each in near[:2]}) == near[2:]
    assert any(other.steps == pair.steps for other in near)


def test_a_small_share_is_halved_or_doubled_at_most(solver: Solver) -> None:
    pair = Decision.of(EARLY, LATE, shares=(0.95, 0.05))
    moved = [other.shares for other in neighbours(solver, [pair], count=20) if other.steps == pair.steps]
    assert sorted(share for _, share in moved) == pytest.approx([0.025, 0.1])


@pytest.fixture(scope="module")
def clip_solver() -> Solver:
    graph = trace(load("video")[0], "video=16x112x112,text=8,new=5")
    space = Space.of(graph, ["uniform-frames", "divprune"])
    return Solver(space, CostModel(load_profile("generic-cpu")), [Budget.parse("ttft<=40%")])


def test_whole_frames_count_as_tokens_before_the_first_layer(clip_solver: Solver) -> None:
    space = clip_solver.space
    (frames,) = space.options["uniform-frames"]
    assert countable(clip_solver, frames)
    decisions = [
        Decision.of(frames, Step("divprune", (place,)), shares=shares)
        for place in ("encoder.layers.0.mid", "projector.output")
        for shares in ((0.3, 0.7), (0.6, 0.4))
    ]
    dropped = least_dropped(clip_solver, decisions)
    pair_of_frames = space.tokens / 8
    for decision in decisions:
        assert dropped[decision] == pytest.approx(clip_solver.solve(decision).dropped, abs=pair_of_frames)
    even = Surrogate({step: Curve(1e-3, 2.0) for step in space.steps})
    best = narrow(clip_solver, even, [frames, *space.options["divprune"]], count=4).best
    assert any(frames in decision.steps for decision in best)


def test_whole_frames_are_left_to_trials_where_an_encoder_is_closed(
    clip_solver: Solver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_solver, "_FIRST_LAYER", "encoder.layers.99")
    (frames,) = clip_solver.space.options["uniform-frames"]
    assert not countable(clip_solver, frames)
    assert countable(clip_solver, Step("divprune", ("projector.output",)))
    with pytest.raises(BadInput, match="uniform-frames@input are not in the cost model's table"):
        least_dropped(clip_solver, [Decision.of(frames)])
