"""The gate: three verdicts from figures made by hand, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import foveate
from foveate.common.errors import BadInput
from foveate.ir.budget import Budget
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.plan_schema import DeviceRecord, FidelityRecord, ModelRecord
from foveate.planner.gate import decide, judge_timing
from foveate.planner.samples import CalibrationSample
from foveate.runtime import Figures

BUDGET = Budget.parse("ttft<=60%")


def figures(samples: list[float], *, tpot: float | None = None) -> Figures:
    values = np.array(samples)
    middle = float(np.median(values))
    return Figures(middle, (middle, middle), values, tpot, 0, None, len(samples))


def spread(centre: float, noise: float) -> list[float]:
    return [centre * (1 + noise * step) for step in np.linspace(-1, 1, 21)]


PLAIN = figures([100.0] * 21)


@pytest.mark.parametrize(
    ("centre", "noise", "verdict"),
    [(50.0, 0.05, "held"), (70.0, 0.05, "broken"), (60.0, 0.05, "undecided"), (60.0, 0.0, "held")],
)
def test_the_three_verdicts(centre: float, noise: float, verdict: str) -> None:
    found = judge_timing(BUDGET, figures(spread(centre, noise)), PLAIN, new_tokens=2)
    assert found.verdict == verdict
    assert found.value_ms == pytest.approx(centre)
    assert found.limit_ms == pytest.approx(60.0)
    assert found.interval[0] <= found.value_ms <= found.interval[1]


def test_drift_of_the_machine_does_not_matter() -> None:
    drift = np.linspace(1, 3, 21)
    found = judge_timing(BUDGET, figures((55 * drift).tolist()), figures((100 * drift).tolist()), new_tokens=2)
    assert found.verdict == "held"


@pytest.mark.parametrize(
    ("text", "value"), [("ttft<=60ms", 50.0), ("latency<=80ms", 50.0 + 3 * 4.0), ("tpot<=5ms", 4.0)]
)
def test_absolute_limits(text: str, value: float) -> None:
    found = judge_timing(Budget.parse(text), figures([50.0] * 5, tpot=4.0), PLAIN, new_tokens=4)
    assert (found.verdict, found.value_ms) == ("held", pytest.approx(value))


def test_what_was_not_timed_is_refused() -> None:
    for text in ("tpot<=5ms", "memory<=1GiB"):
        with pytest.raises(BadInput, match="cannot be measured here"):
            judge_timing(Budget.parse(text), figures([50.0]), PLAIN, new_tokens=4)


def test_decisions_look_the_other_way_for_floors() -> None:
    assert decide(0.96, 0.99, 0.95, at_least=True) == "held"
    assert decide(0.90, 0.94, 0.95, at_least=True) == "broken"
    assert decide(0.94, 0.96, 0.95, at_least=True) == "undecided"


@pytest.fixture
def plan(model: Any) -> Plan:
    graph = foveate.trace(model, "image=1x56x56,text=8,new=4")
    return Plan(
        (Placement("uniform", "image.projector.output", 0.5),),
        model=ModelRecord(name=graph.model, type=graph.model_type, fingerprint=graph.fingerprint),
        workload=graph.workload,
        device=DeviceRecord(name="generic-cpu", dtype="float32", profile="prior"),
    )


def recorded(value: float, low: float, high: float) -> FidelityRecord:
    return FidelityRecord(kind="measured", value=value, interval=[low, high], top1=1.0, samples=9)


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        (recorded(0.97, 0.94, 0.99), "held"),
        (recorded(0.94, 0.9, 0.96), "undecided"),
        (recorded(0.9, 0.88, 0.92), "broken"),
    ],
)
def test_the_recorded_fidelity_is_held_to_its_floor(
    model: Any, plan: Plan, record: FidelityRecord, verdict: str
) -> None:
    found = foveate.check(replace(plan, fidelity=record), model=model, budget="fidelity>=0.95")
    assert (found.verdict, found.mode, found.limit_ms) == (verdict, "recorded", 0.95)


def test_a_prediction_is_held_or_broken(model: Any, plan: Plan) -> None:
    assert foveate.check(plan, model=model, budget="memory<=1GiB", mode="predict").verdict == "held"
    assert foveate.check(plan, model=model, budget="ttft<=1%", mode="predict").verdict == "broken"


def test_the_worst_verdict_is_given(model: Any, plan: Plan) -> None:
    found = foveate.check(plan, model=model, budget=["memory<=1GiB", "ttft<=1%"], mode="predict")
    assert found.budget == "ttft<=1%"


def test_a_measured_check_runs_the_model(model: Any, plan: Plan, samples: list[CalibrationSample]) -> None:
    found = foveate.check(plan, model=model, inputs=samples[0].inputs, budget="ttft<=1%", rounds=5)
    assert (found.verdict, found.mode) == ("broken", "measure")
    assert found.value_ms > found.limit_ms


def test_what_is_missing_or_does_not_fit_is_refused(model: Any, plan: Plan) -> None:
    with pytest.raises(BadInput, match="no budget"):
        foveate.check(plan, model=model)
    with pytest.raises(BadInput, match="needs the model"):
        foveate.check(plan, budget="ttft<=60%")
    with pytest.raises(BadInput, match="needs inputs"):
        foveate.check(plan, model=model, budget="ttft<=60%")
    with pytest.raises(BadInput, match="records no fidelity"):
        foveate.check(plan, model=model, budget="fidelity>=0.9")
    with pytest.raises(BadInput, match="did you mean 'uniform'"):
        foveate.check(
            plan.with_placements([Placement("unifrm", "image.projector.output", 0.5)]), model=model, budget="ttft<=60%"
        )
    other = ModelRecord(name="other", type="llava", fingerprint="sha256:0")
    with pytest.raises(BadInput):
        foveate.check(replace(plan, model=other), model=model, budget="ttft<=60%", mode="predict")
