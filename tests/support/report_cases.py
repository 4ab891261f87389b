"""A plan with everything that a report can show, and a study behind it; some of its names are hostile."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna

from foveate.cost_models import DeviceProfile, load_profile
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.plan_schema import (
    AblationRecord,
    ConflictRecord,
    DeviceRecord,
    FidelityRecord,
    MeasuredRecord,
    ModelRecord,
    PredictedRecord,
    RunnerUpRecord,
    SearchRecord,
    StageRecord,
)
from foveate.planner.studies.study import KEY, TTFT, VALUE, VIOLATION
from foveate.runtime import resolve
from foveate.runtime.resolve import resolved_plan

HOSTILE = """"><script>alert('1')</script><img src=x onerror=alert(2)> & {{ 7 * 7 }}"""


@dataclass(frozen=True)
class Tried:
    """A trial of the study: its plan in words, TTFT as a part of the uncompressed model's, value; None: given up."""

    words: str
    ratio: float
    value: float | None


TRIALS = (
    Tried("fastervlm@image.projector.output 0.3", 0.5, 0.9),
    Tried("pool@image.projector.output 0.25", 0.45, 0.8),
    Tried("fastv@decoder.layers.2 0.5 + uniform@image.projector.output 0.5", 0.55, 0.85),
    Tried(HOSTILE, 0.9, 0.99),
    Tried("", 0.7, None),
)


def profile_of() -> DeviceProfile:
    """The device that the plan is for."""
    return load_profile("l4")


def write_study(path: Path) -> None:
    """The study of `TRIALS`, as a search leaves it behind."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(storage=f"sqlite:///{path}", study_name="foveate", directions=["maximize"])
        for tried in TRIALS:
            trial = study.ask()
            if tried.value is None:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                continue
            attributes = {KEY: tried.words, TTFT: tried.ratio, VALUE: tried.value, VIOLATION: tried.ratio - 0.6}
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
            study.tell(trial, tried.value)


def full_plan(costed: Any, *, study: str) -> Plan:
    """A plan for the traced model, every block of the file present, predictions by its cost model."""
    bare = Plan.of(Placement("fastervlm", "image.projector.output", 0.5), Placement("fastv", "decoder.layers.2", 0.5))
    found, plain = costed.cost.predict(resolve(costed.graph, bare)), costed.cost.predict(costed.graph)
    return replace(
        resolved_plan(costed.graph, bare),
        model=ModelRecord(name=HOSTILE, type="llava", fingerprint=costed.graph.fingerprint),
        workload=costed.graph.workload,
        device=DeviceRecord(name="l4", dtype="float32", profile="datasheet"),
        predicted=PredictedRecord(
            ttft_ms=found.ttft_ms,
            tpot_ms=found.tpot_ms,
            memory_bytes=found.memory_bytes,
            interval=list(found.interval),
            stages=[StageRecord(name=s.name, ms=s.ms, tokens=s.tokens) for s in found.stages],
            baseline_ttft_ms=plain.ttft_ms,
            baseline_tpot_ms=plain.tpot_ms,
        ),
        measured=MeasuredRecord(ttft_ms=1.5, ratio=0.6, interval=[0.5, 0.7], n=11, machine="a machine"),
        fidelity=FidelityRecord(kind="measured", value=0.93, interval=[0.9, 0.96], top1=0.97, samples=16),
        conflicts=(ConflictRecord(between=["fastervlm", HOSTILE], relation="discounted", reason="both drop"),),
        ablation=(
            AblationRecord(
                without=["fastv@decoder.layers.2"], ttft_ms=found.ttft_ms + 0.5, fidelity=0.95, kind="measured"
            ),
        ),
        search=SearchRecord(
            seed=0,
            trials=5,
            evaluated=4,
            study=study,
            front=[RunnerUpRecord(plan="a@image.projector.output 0.5", value=0.9, ttft_ms=1.0)],
        ),
    )
