"""The gate: three verdicts from figures made by hand, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foveate
from foveate.common.errors import BadInput
from foveate.cost_models import load_profile
from foveate.ir.budget import Budget
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.plan_schema import DeviceRecord, FidelityRecord, ModelRecord
from foveate.planner.fidelity.samples import CalibrationSample
from foveate.planner.gating.baseline import Baseline
from foveate.planner.gating.gate import Looks, decide, read_baseline, verdicts
from foveate.planner.gating.looks import until_decided
from foveate.planner.gating.timing import Regression, Times, judge_regression, judge_timing

BUDGET = Budget.parse("ttft<=60%")


def figures(samples: list[float], *, tpot: float | None = None, peak: int = 2**20) -> Times:
    values = np.array(samples)
    return Times(values, np.empty(0) if tpot is None else np.full(len(values), tpot), peak)


def spread(centre: float, noise: float) -> list[float]:
    return [centre * (1 + noise * step) for step in np.linspace(-1, 1, 21)]


PLAIN = figures([100.0] * 21, tpot=8.0)


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
    plain = figures([100.0] * 5, tpot=8.0)
    found = judge_timing(Budget.parse(text), figures([50.0] * 5, tpot=4.0), plain, new_tokens=4)
    assert (found.verdict, found.value_ms) == ("held", pytest.approx(value))


def test_what_was_not_timed_is_refused() -> None:
    for text in ("tpot<=5ms", "throughput>=4/s"):
        with pytest.raises(BadInput, match="cannot be measured here"):
            judge_timing(Budget.parse(text), figures([50.0]), figures([100.0]), new_tokens=4)


def test_memory_is_the_peak_of_the_prefill() -> None:
    found = judge_timing(Budget.parse("memory<=1MiB"), figures([50.0]), figures([50.0], peak=2**21), new_tokens=4)
    assert (found.verdict, found.value_ms, found.ratio[0]) == ("held", 2**20, 0.5)
    assert judge_timing(Budget.parse("memory<=40%"), figures([5.0]), PLAIN, new_tokens=4).verdict == "broken"


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


def test_rounds_are_added_until_nothing_is_undecided() -> None:
    noise = np.random.default_rng(0).normal(scale=0.2, size=5000)
    taken: list[int] = []

    def judge(confidence: float) -> list[Any]:
        assert confidence == pytest.approx(1 - 0.05 / 7)
        values = 58 * (1 + noise[: sum(taken)])
        times = figures(values.tolist()), figures([100.0] * len(values))
        return [judge_timing(BUDGET, *times, new_tokens=2, confidence=confidence)]

    found = until_decided(taken.append, judge, Looks(rounds=10))
    assert found[0].verdict == "held"
    assert taken[:2] == [10, 10]
    assert 2 < len(taken) <= 6  # noise of 20 % needs more than a look to tell 58 from 60
    assert taken[2:] == [20 * 2**i for i in range(len(taken) - 2)]


def test_a_check_that_stays_undecided_ends() -> None:
    taken: list[int] = []
    straddling = judge_timing(BUDGET, figures(spread(60, 0.05)), PLAIN, new_tokens=2)
    assert until_decided(taken.append, lambda _: [straddling], Looks(rounds=3, count=4))[0].verdict == "undecided"
    assert taken == [3, 3, 6, 12]


def test_no_look_is_begun_after_the_time_is_up() -> None:
    taken: list[int] = []
    straddling = judge_timing(BUDGET, figures(spread(60, 0.05)), PLAIN, new_tokens=2)
    until_decided(taken.append, lambda _: [straddling], Looks(rounds=3, seconds=0.0))
    assert taken == [3]


@pytest.mark.parametrize(
    ("centre", "least", "verdict"), [(104.0, 0.0, "held"), (110.0, 0.0, "broken"), (110.0, 11.0, "held")]
)
def test_a_regression_beside_another_plan(centre: float, least: float, verdict: str) -> None:
    limit = Regression("ttft", 0.05, least, "main.yaml")
    found = judge_regression(limit, figures([centre] * 5), figures([100.0] * 5), new_tokens=2)
    assert (found.verdict, found.budget, found.figure) == (verdict, "ttft<=105% of main.yaml", "ttft")


@pytest.mark.parametrize(("keep", "verdict"), [(0.5, "held"), (0.25, "held"), (1.0, "broken")])
def test_a_recorded_check_as_baseline(model: Any, plan: Plan, tmp_path: Path, keep: float, verdict: str) -> None:
    first = foveate.check(plan, model=model, budget="memory<=1GiB", mode="predict")
    record = tmp_path / "main.json"
    record.write_text(json.dumps({**vars(first), "interval": list(first.interval), "ratio": list(first.ratio)}))
    changed = plan.with_placements([replace(plan.placements[0], keep=keep)])
    baseline = read_baseline(record, allowed=0.0, least_ms=0.0)
    found = verdicts(changed, model=model, budget="memory<=1GiB", mode="predict", baseline=baseline)
    assert [item.verdict for item in found if item.against] == [verdict]


def test_measured_checks_of_two_machines_are_compared_by_their_ratios() -> None:
    then = judge_timing(BUDGET, figures(spread(25, 0.01)), figures([50.0] * 21), new_tokens=2)  # half as slow a machine
    baseline = Baseline("main.json", None, (then,), allowed=0.05, least_ms=0.0)
    for centre, verdict in ((50.0, "held"), (60.0, "broken"), (52.5, "undecided")):
        now = judge_timing(BUDGET, figures(spread(centre, 0.01)), PLAIN, new_tokens=2)
        assert baseline.judge([now])[0].verdict == verdict, centre
        assert baseline.judge([now])[0].limit_ms == pytest.approx(52.5, rel=0.01)


def test_a_baseline_that_is_none_is_refused(tmp_path: Path) -> None:
    for name, text, words in (
        ("a.json", "{", "no record of a check"),
        ("b.json", '{"verdict": "held"}', "no record of a check"),
        ("c.yaml", "foveate: 2\n", "schema version"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(BadInput, match=words):
            read_baseline(tmp_path / name)


def test_a_baseline_without_a_figure_in_common_is_refused() -> None:
    found = judge_timing(BUDGET, figures([50.0]), figures([100.0]), new_tokens=2)
    with pytest.raises(BadInput, match="no figure in common"):
        Baseline("main.json", None, (replace(found, budget="tpot<=5ms"),)).judge([found])


def test_a_prediction_beside_another_plan(model: Any, plan: Plan) -> None:
    baseline = Baseline("main.yaml", plan, allowed=0.0, least_ms=0.0)
    for keep, verdict in ((0.25, "held"), (1.0, "broken")):
        changed = plan.with_placements([replace(plan.placements[0], keep=keep)])
        found = verdicts(changed, model=model, budget="memory<=1GiB", mode="predict", baseline=baseline)
        assert [item.verdict for item in found if item.against] == [verdict]


def test_a_predicted_plan_must_fit_the_memory_of_its_device(model: Any, plan: Plan) -> None:
    small = replace(load_profile("generic-cpu"), memory_bytes=1000)
    found = verdicts(plan, model=model, budget="ttft<=1000%", mode="predict", device=small)
    assert [(item.figure, item.verdict) for item in found] == [("ttft", "held"), ("memory", "broken")]


@pytest.mark.parametrize(
    "placement",
    [
        Placement("tome", "image.encoder.layers.1.mid", 0.5),
        Placement("downsample", "image.input", 0.5),
        Placement("knorm", "decoder.cache", 0.5),
    ],
    ids=lambda placement: placement.site,
)
@pytest.mark.parametrize("mode", ["predict", "measure"])
def test_every_kind_of_site_can_be_checked(
    model: Any, plan: Plan, samples: list[CalibrationSample], placement: Placement, mode: Any
) -> None:
    placed = plan.with_placements([placement])
    found = verdicts(
        placed,
        model=model,
        inputs=samples[0].inputs,
        budget=["ttft<=1000%", "tpot<=1000%", "memory<=1000%"],
        mode=mode,
        looks=Looks(rounds=3, count=1),
    )
    assert [item.figure for item in found] == ["ttft", "tpot", "memory"]
    assert all(item.value_ms > 0 for item in found)


def busy(random: np.random.Generator, rounds: int) -> np.ndarray[Any, Any]:
    """Times of one operation beside a busy process: near 5 ms, or that and one or two slices of the scheduler."""
    return 5 * random.lognormal(sigma=0.02, size=rounds) + 4 * random.choice(3, p=(0.5, 0.3, 0.2), size=rounds)


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "held"), (1.2, "broken")])
def test_the_verdict_survives_a_busy_machine(factor: float, verdict: str) -> None:
    random = np.random.default_rng(1)
    found = []
    for _ in range(12):
        taken: list[tuple[Any, Any]] = []

        def judge(confidence: float, taken: list[tuple[Any, Any]] = taken) -> list[Any]:
            mine, base = (figures(np.concatenate([pair[side] for pair in taken]).tolist()) for side in (0, 1))
            return [judge_regression(Regression("ttft", 0.05), mine, base, new_tokens=2, confidence=confidence)]

        def take(rounds: int, taken: list[tuple[Any, Any]] = taken) -> None:
            taken.append((busy(random, rounds) * factor, busy(random, rounds)))

        found.append(until_decided(take, judge, Looks())[0].verdict)
    assert set(found) <= {verdict, "undecided"}
    assert found.count(verdict) >= 11
