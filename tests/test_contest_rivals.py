"""The planner's contest: which single pass a plan has to beat."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from benchmark_packages import load_script

from foveate.common.timing import Interval
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.planner.fidelity.fidelity import Fidelity

SITE, LATER = "image.encoder.layers.0.mid", "decoder.layers.2"


@pytest.fixture
def contest() -> Any:
    return [load_script(name) for name in ("_marks", "_contest")][-1]


class Judge:
    """Knows the value of a plan by its first pass and fraction."""

    samples = 4

    def __init__(self, values: dict[tuple[str, float], float]) -> None:
        self.values = values

    def judge(self, plan: Plan, *, give_up: Callable[[Fidelity], bool] | None = None) -> Fidelity:
        first = plan.placements[0]
        value = self.values[first.method, first.keep]
        return Fidelity(value, (0.0, 1.0), None, np.full(self.samples, value))


class Questions:
    """Ten questions, of which a plan gets as many right as stated for its first pass."""

    whole, groups, crossed = (1.0,) * 10, tuple(range(10)), ()

    def __init__(self, right: dict[str, int]) -> None:
        self.known = right

    def right(self, plan: Plan) -> list[float]:
        count = self.known[plan.placements[0].method]
        return [1.0] * count + [0.0] * (10 - count)


def rival(contest: Any, name: str, *passes: tuple[str, str, float]) -> Any:
    placements = [Placement(method, site, keep=keep) for method, site, keep in passes]
    return contest.Rival(name, Plan.of(*placements), Interval(0.3, 0.29, 0.31))


def test_the_best_single_pass_at_the_plans_latency_is_left(contest: Any) -> None:
    plan = rival(contest, "plan", ("divprune", SITE, 0.4), ("fastv", LATER, 0.5))
    singles = [rival(contest, f"best single {i}", (name, SITE, 0.2)) for i, name in enumerate(("evit", "divprune"))]
    pool = rival(contest, "pool", ("pool", SITE, 0.2))
    judge = Judge({("evit", 0.2): 0.8, ("divprune", 0.2): 0.9})
    found = contest.with_best_single([plan, *singles, pool], judge, Questions({"evit": 6, "divprune": 7}))
    assert [(r.name, r.words) for r in found[1:]] == [("best single", singles[1].words), ("pool", pool.words)]
    assert found[0] is plan
    found = contest.with_best_single([plan, *singles, pool], judge, Questions({"evit": 8, "divprune": 7}))
    assert [r.name for r in found[1:]] == ["best single by answers", "best single", "pool"]


def test_a_plan_of_one_pass_is_itself_among_the_singles(contest: Any) -> None:
    plan = rival(contest, "plan", ("divprune", SITE, 0.21))
    singles = [rival(contest, f"best single {i}", (name, SITE, 0.2)) for i, name in enumerate(("evit", "divprune"))]
    judge = Judge({("evit", 0.2): 0.85, ("divprune", 0.21): 0.9, ("divprune", 0.2): 0.8})
    found = contest.with_best_single([plan, *singles], judge, Questions({"evit": 7, "divprune": 7}))
    assert [r.name for r in found] == ["plan", "best single"]
    assert contest.as_planned(plan, found[1]).plan is plan.plan


def test_intervals_that_hold_together_are_wider(contest: Any) -> None:
    marks = sys.modules["_marks"].Marks
    draws = np.random.default_rng(0)

    def marked(name: str) -> Any:
        right = tuple(float(x) for x in draws.integers(0, 2, 200))
        return contest.Rival(name, Plan.of(), Interval(1, 1, 1), marks(right, (1.0,) * 200, tuple(range(200))))

    plan, *others = [marked(name) for name in ("plan", "a", "b", "c")]
    alone, together = contest.gains(plan, others), contest.gains(plan, others, together=True)
    for (gain, low, high), (same, lower, higher) in zip(alone, together, strict=True):
        assert gain == same
        assert lower < low < high < higher
        assert (higher - lower) / (high - low) == pytest.approx(
            2.394 / 1.960, rel=0.05
        )  # normal quantiles of 1/60, 1/20
