"""Differences of plans: placements by place, figures by how they are known."""

from __future__ import annotations

from dataclasses import replace

from foveate.ir.budget import Budget
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.plan_schema import FidelityRecord, MeasuredRecord, PredictedRecord
from foveate.planner.explaining.diff import diff

POOL = Placement("pool", "image.projector.output", 0.25, tokens_in=256, tokens_out=64)
FASTV = Placement("fastv", "decoder.layers.2", 0.5)
PREDICTED = PredictedRecord(ttft_ms=10.0, tpot_ms=1.0, memory_bytes=1000)


def test_a_plan_does_not_differ_from_itself() -> None:
    plan = Plan((POOL, FASTV), budget=(Budget.parse("ttft<=60%"),), predicted=PREDICTED)
    assert diff(plan, plan).same


def test_placements_are_matched_by_pass_and_site_along_the_flow() -> None:
    other = replace(POOL, keep=0.5, tokens_out=128)
    found = diff(Plan.of(FASTV, POOL), Plan.of(other, Placement("divprune", "decoder.layers.2", 0.5)))
    assert [(item.change, item.first, item.second) for item in found.placements] == [
        ("changed", POOL, other),
        ("only second", None, Placement("divprune", "decoder.layers.2", 0.5)),
        ("only first", FASTV, None),
    ]
    assert not found.same


def test_figures_keep_apart_what_is_predicted_measured_and_prior() -> None:
    measured = MeasuredRecord(ttft_ms=12.0, ratio=0.5, n=3, machine="here")
    first = Plan.of(POOL)
    first = replace(first, predicted=PREDICTED, fidelity=FidelityRecord(kind="prior", value=0.9, samples=3))
    second = replace(
        first,
        predicted=PREDICTED.model_copy(update={"ttft_ms": 8.0}),
        measured=measured,
        fidelity=FidelityRecord(kind="measured", value=0.95, samples=3),
    )
    found = {(f.name, f.kind): (f.first, f.second, f.difference) for f in diff(first, second).figures}
    assert found["ttft_ms", "predicted"] == (10.0, 8.0, -2.0)
    assert found["ttft_ms", "measured"] == (None, 12.0, None)
    assert found["fidelity", "prior"] == (0.9, None, None)
    assert found["fidelity", "measured"] == (None, 0.95, None)


def test_settings_that_differ_are_named() -> None:
    first, second = (Plan.of(POOL), Plan((POOL,), budget=(Budget.parse("ttft<=60%"),)))
    (setting,) = diff(first, second).settings
    assert (setting.name, setting.first, setting.second) == ("budget", "", "ttft<=60%")
