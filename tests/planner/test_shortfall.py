"""Whether a plan holds its own budgets: by what it records, and as the planner decided where finalists were timed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foveate.ir.budget import Budget
from foveate.ir.plan import Plan
from foveate.ir.plan_schema import FidelityRecord, MeasuredRecord, PredictedRecord
from foveate.ir.workload import Workload
from foveate.planner.explaining.evidence import measured_record
from foveate.planner.shortfall import shortfalls
from foveate.planner.verify import Timing, excess
from foveate.runtime import Figures

WORK = Workload.parse("image=1x224x224,text=16,new=5")
PREDICTED = PredictedRecord(
    ttft_ms=10.0,
    tpot_ms=2.0,
    memory_bytes=3 * 2**29,
    baseline_ttft_ms=20.0,
    baseline_tpot_ms=2.5,
    baseline_memory_bytes=2**31,
)
MEASURED = MeasuredRecord(ttft_ms=12.0, ratio=0.61, n=5, machine="here", baseline_ttft_ms=20.0)


def plan_for(*budgets: str, **blocks: Any) -> Plan:
    return Plan((), workload=WORK, budget=tuple(map(Budget.parse, budgets)), **blocks)


@pytest.mark.parametrize(
    ("text", "missed"),
    [
        ("ttft<=50%", None),
        ("ttft<=40%", 0.25),
        ("ttft<=8ms", 0.25),
        ("tpot<=80%", None),
        ("tpot<=64%", 0.25),
        ("latency<=18ms", None),  # 10 + 4 * 2
        ("latency<=15ms", 0.2),
        ("latency<=50%", 0.2),  # of 20 + 4 * 2.5
        ("memory<=1.5GiB", None),
        ("memory<=1.25GiB", 0.2),
        ("memory<=60%", 0.25),
        ("throughput>=50/s", None),  # one answer in 18 ms is 55.6 a second
        ("throughput>=100/s", 4 / 9),
    ],
)
def test_predicted_figures_against_their_limits(text: str, missed: float | None) -> None:
    found = shortfalls(plan_for(text, predicted=PREDICTED))
    assert [item.excess for item in found] == ([] if missed is None else [pytest.approx(missed)])
    assert all(item.kind == "predicted" for item in found)


def test_the_clock_decides_where_it_was_asked() -> None:
    """Predicted 50 %, measured 61 %: only the second counts, in both directions."""
    (missed,) = shortfalls(plan_for("ttft<=60%", predicted=PREDICTED, measured=MEASURED))
    assert (missed.kind, missed.value) == ("measured", 0.61)
    assert shortfalls(plan_for("ttft<=62%", predicted=PREDICTED, measured=MEASURED)) == ()
    slower = PREDICTED.model_copy(update={"ttft_ms": 15.0})
    assert shortfalls(plan_for("ttft<=62%", predicted=slower, measured=MEASURED)) == ()


def test_a_floor_and_a_limit_are_missed_each_for_itself() -> None:
    fidelity = FidelityRecord(kind="prior", value=0.9, samples=7)
    found = shortfalls(plan_for("ttft<=8ms", "fidelity>=0.96", predicted=PREDICTED, fidelity=fidelity))
    assert [(str(item.budget), item.kind) for item in found] == [
        ("ttft<=8ms", "predicted"),
        ("fidelity>=0.96", "prior"),
    ]
    assert found[1].excess == pytest.approx(1 - 0.9 / 0.96)


def test_what_a_plan_does_not_record_counts_as_held() -> None:
    assert shortfalls(plan_for("ttft<=1ms", "fidelity>=1")) == ()
    bare = PredictedRecord(ttft_ms=10.0, tpot_ms=2.0, memory_bytes=5)
    assert shortfalls(plan_for("ttft<=1%", "memory<=1%", predicted=bare)) == ()


@pytest.mark.parametrize("step", [-1e-3, 0.0, 1e-3])
@pytest.mark.parametrize(
    "text", ["ttft<={}%", "ttft<={}ms", "tpot<={}%", "latency<={}ms", "throughput>={}/s", "memory<={}%"]
)
def test_a_written_plan_is_judged_as_its_finalist_was(text: str, step: float) -> None:
    """Limits just below, at and just above what was measured, with figures that rounding moves."""
    timing = Timing(_figures(10 / 3, 2 / 3, 700_000_001), _figures(20 / 3, 1.1, 10**9))
    at = {"ttft<={}%": 50, "ttft<={}ms": 10 / 3, "tpot<={}%": 200 / 3.3, "latency<={}ms": 6, "memory<={}%": 70.0000001}
    limit = at.get(text, 1e3 / 6) * (1 + step)
    budget = Budget.parse(text.format(f"{limit:.12f}"))
    plan = Plan((), workload=WORK, budget=(budget,), measured=measured_record(timing, "here"))
    past = excess(budget, timing, WORK)
    assert past is not None
    assert bool(shortfalls(plan)) == (past > 1e-5)


def _figures(ttft: float, tpot: float, peak: int) -> Figures:
    return Figures(ttft, (ttft, ttft), np.full(5, ttft), tpot, 0, peak, 5)
