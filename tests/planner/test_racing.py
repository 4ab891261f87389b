"""A race between plans: only what trails clearly is given up, and the looks are at the same samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.planner.fidelity.fidelity import Fidelity, FloatArray
from foveate.planner.racing import Race

SAMPLES = 64


class Judge:
    """Knows every plan's value on each sample; counts the samples that were asked for."""

    def __init__(self, values: dict[str, FloatArray]) -> None:
        self.values = values
        self.asked: dict[str, int] = {}

    @property
    def samples(self) -> int:
        return SAMPLES

    def judge(self, plan: Plan, *, give_up: Callable[[Fidelity], bool] | None = None) -> Fidelity | None:
        name = plan.placements[0].method
        for part in (SAMPLES // 4, SAMPLES // 2, SAMPLES):
            self.asked[name] = part
            seen = self.values[name][:part]
            found = Fidelity(float(seen.mean()), (0.0, 1.0), None, seen)
            if part < SAMPLES and give_up and give_up(found):
                return None
        return found


def plan(name: str) -> Plan:
    return Plan.of(Placement(name, "image.projector.output", keep=0.5))


@pytest.fixture
def noise() -> FloatArray:
    return np.random.default_rng(0).normal(0, 0.05, SAMPLES)


def test_what_trails_clearly_is_given_up_at_the_first_look(noise: FloatArray) -> None:
    judge = Judge({"pool": 0.9 + 0 * noise, "random": 0.5 + noise, "norm": 0.9 + noise - noise.mean()})
    race = Race(judge)
    assert race.run(plan("pool")) is not None
    assert race.run(plan("random")) is None
    assert race.run(plan("norm")) is not None
    assert judge.asked == {"pool": SAMPLES, "random": SAMPLES // 4, "norm": SAMPLES}


def test_later_plans_race_against_the_best_so_far(noise: FloatArray) -> None:
    values = {"random": 0.5 + 0 * noise, "pool": 0.9 + noise, "norm": 0.7 + noise}
    found = {name: Race(Judge(values)) for name in ("alone", "together")}
    assert found["alone"].run(plan("norm")) is not None
    assert [found["together"].run(plan(name)) is None for name in values] == [False, False, True]


def test_a_plan_that_falls_behind_late_is_given_up_late(noise: FloatArray) -> None:
    late = np.where(np.arange(SAMPLES) < SAMPLES // 4, 0.9, 0.5) + noise
    judge = Judge({"pool": 0.9 + 0 * noise, "late": late})
    race = Race(judge)
    race.run(plan("pool"))
    assert race.run(plan("late")) is None
    assert judge.asked["late"] == SAMPLES // 2
