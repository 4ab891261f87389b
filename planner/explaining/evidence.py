"""The blocks of a plan: what was predicted, measured and decided, written beside the placements."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from itertools import islice
from typing import Any

from ...cost_models import DeviceProfile, Prediction
from ...ir.budget import Budget
from ...ir.plan import Plan
from ...ir.plan_schema import (
    AblationRecord,
    DeviceRecord,
    FidelityRecord,
    MeasuredRecord,
    ModelRecord,
    PredictedRecord,
    RunnerUpRecord,
    SearchRecord,
    StageRecord,
)
from ...passes import REGISTRY
from ...runtime import ratio, resolved_plan
from ..choosing import Choice
from ..fidelity.fidelity import Fidelity
from ..fidelity.judge import Judge
from ..figures import kind_of, rounded
from ..rules.conflicts import decide
from ..search.front import FrontPoint
from ..search.solver import Solution, Solver
from ..unmet import label
from ..verify import Timing
from .ablation import ablation

_RUNNERS_UP = 5


def filled(
    solver: Solver,
    choice: Choice,
    *,
    budgets: tuple[Budget, ...],
    device: DeviceRecord,
    samples: int,
    search: SearchRecord | None,
    machine: str,
    judge: Judge | None = None,
    quantised: bool = False,
) -> Plan:
    """The plan of `choice` with every block filled in; the ablation only where a judge is at hand."""
    timing = choice.finalist.timing
    return assembled(
        solver,
        choice.solution,
        budgets=budgets,
        device=device,
        fidelity=fidelity_record(choice.fidelity, samples),
        measured=None if timing is None else measured_record(timing, machine),
        ablation=() if judge is None else ablation(solver, choice.solution.placements, judge),
        search=search,
        quantised=quantised,
    )


def assembled(
    solver: Solver,
    solution: Solution,
    *,
    budgets: tuple[Budget, ...],
    device: DeviceRecord,
    fidelity: FidelityRecord,
    measured: MeasuredRecord | None = None,
    ablation: tuple[AblationRecord, ...] = (),
    search: SearchRecord | None = None,
    quantised: bool = False,
) -> Plan:
    """The plan of `solution` with the blocks given, those that follow from it, and its counts."""
    graph = solver.space.graph
    bare = Plan(
        placements=solution.placements,
        model=ModelRecord(name=graph.model, type=graph.model_type, fingerprint=graph.fingerprint),
        workload=graph.workload,
        device=device,
        budget=budgets,
        predicted=predicted_record(solution.prediction, solver.baseline),
        measured=measured,
        fidelity=fidelity,
        conflicts=decide(solution.placements, REGISTRY.items(), graph.workload, quantised=quantised),
        ablation=ablation,
        search=search,
    )
    return resolved_plan(graph, bare)


def runners_up(others: Iterable[tuple[Solution, float]], chosen: Solution) -> list[RunnerUpRecord]:
    """The best of what was not chosen, best first.

    Args:
        others: solutions with their value in the search, best first.
    """
    rest = ((solution, value) for solution, value in others if solution.placements != chosen.placements)
    return [
        RunnerUpRecord(plan=label(solution), value=rounded(value), ttft_ms=rounded(solution.prediction.ttft_ms))
        for solution, value in islice(rest, _RUNNERS_UP)
    ]


def front_records(front: Iterable[FrontPoint], baseline_ms: float) -> list[RunnerUpRecord]:
    """The Pareto front as it is written: placements, value in the search, predicted TTFT in ms."""
    return [
        RunnerUpRecord(
            plan=p.placements or "no compression", value=rounded(p.value), ttft_ms=rounded(p.ttft * baseline_ms)
        )
        for p in front
    ]


def device_record(profile: DeviceProfile, dtype: str) -> DeviceRecord:
    """Which device the predictions are for."""
    return DeviceRecord(name=profile.name, dtype=dtype, profile=profile.profile)


def predicted_record(prediction: Prediction, baseline: Prediction) -> PredictedRecord:
    """The cost model's figures, the uncompressed model's beside them."""
    return PredictedRecord(
        ttft_ms=rounded(prediction.ttft_ms),
        tpot_ms=rounded(prediction.tpot_ms),
        memory_bytes=prediction.memory_bytes,
        interval=[rounded(bound) for bound in prediction.interval],
        stages=[StageRecord(name=s.name, ms=rounded(s.ms), tokens=s.tokens) for s in prediction.stages],
        baseline_ttft_ms=rounded(baseline.ttft_ms),
        baseline_tpot_ms=rounded(baseline.tpot_ms),
        baseline_memory_bytes=baseline.memory_bytes,
    )


def measured_record(timing: Timing, machine: str) -> MeasuredRecord:
    """The live model's TTFT, and its ratio to the uncompressed model, paired by round."""
    compared = ratio(timing.plan, timing.plain)
    return MeasuredRecord(
        ttft_ms=rounded(timing.plan.ttft_ms),
        ratio=rounded(compared.median),
        interval=[rounded(compared.low), rounded(compared.high)],
        n=timing.plan.n,
        machine=machine,
        baseline_ttft_ms=rounded(timing.plain.ttft_ms),
        tpot_ms=_rounded(timing.plan.tpot_ms),
        baseline_tpot_ms=_rounded(timing.plain.tpot_ms),
        peak_bytes=timing.plan.peak_bytes,
        baseline_peak_bytes=timing.plain.peak_bytes,
    )


def fidelity_record(fidelity: Fidelity, samples: int) -> FidelityRecord:
    """The value on held-out samples, labelled with how it is known."""
    return FidelityRecord(
        kind=kind_of(fidelity),
        value=rounded(fidelity.value),
        interval=[rounded(bound) for bound in fidelity.interval],
        top1=_rounded(fidelity.top1),
        samples=samples,
    )


def machine_of(model: Any, dtype: str, batch: int) -> str:
    """The machine that figures were taken on: device, dtype, batch, versions."""
    import torch

    device = model.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} {device.type}"
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"{name}{threads}, {dtype}, batch {batch}, torch {torch.__version__}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else rounded(value)
