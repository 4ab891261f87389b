"""The blocks of a plan: what was predicted, measured and decided, written beside the placements."""

from __future__ import annotations

import platform
from typing import Any

from ..cost_models import DeviceProfile, Prediction
from ..ir.budget import Budget
from ..ir.plan import Plan
from ..ir.plan_schema import (
    DeviceRecord,
    FidelityRecord,
    MeasuredRecord,
    ModelRecord,
    PredictedRecord,
    SearchRecord,
    StageRecord,
)
from ..passes import REGISTRY
from ..runtime import ratio, resolved_plan
from .conflicts import decide
from .fidelity import Fidelity
from .job import Choice
from .solver import Solver
from .verify import Timing


def filled(
    solver: Solver,
    choice: Choice,
    *,
    budgets: tuple[Budget, ...],
    device: DeviceRecord,
    samples: int,
    search: SearchRecord | None,
    machine: str,
) -> Plan:
    """The plan of `choice` with every block filled in."""
    graph, solution = solver.space.graph, choice.solution
    timing = choice.finalist.timing
    bare = Plan(
        placements=solution.placements,
        model=ModelRecord(name=graph.model, type=graph.model_type, fingerprint=graph.fingerprint),
        workload=graph.workload,
        device=device,
        budget=budgets,
        predicted=predicted_record(solution.prediction, solver.baseline),
        measured=None if timing is None else measured_record(timing, machine),
        fidelity=fidelity_record(choice.fidelity, samples),
        conflicts=decide(solution.placements, REGISTRY.items(), graph.workload),
        search=search,
    )
    return resolved_plan(graph, bare)


def device_record(profile: DeviceProfile, dtype: str) -> DeviceRecord:
    """Which device the predictions are for."""
    return DeviceRecord(name=profile.name, dtype=dtype, profile=profile.profile)


def predicted_record(prediction: Prediction, baseline: Prediction) -> PredictedRecord:
    """The cost model's figures, the uncompressed model's beside them."""
    return PredictedRecord(
        ttft_ms=_rounded(prediction.ttft_ms),
        tpot_ms=_rounded(prediction.tpot_ms),
        memory_bytes=prediction.memory_bytes,
        interval=[_rounded(bound) for bound in prediction.interval],
        stages=[StageRecord(name=s.name, ms=_rounded(s.ms), tokens=s.tokens) for s in prediction.stages],
        baseline_ttft_ms=_rounded(baseline.ttft_ms),
        baseline_tpot_ms=_rounded(baseline.tpot_ms),
    )


def measured_record(timing: Timing, machine: str) -> MeasuredRecord:
    """The live model's TTFT, and its ratio to the uncompressed model, paired by round."""
    compared = ratio(timing.plan, timing.plain)
    return MeasuredRecord(
        ttft_ms=_rounded(timing.plan.ttft_ms),
        ratio=_rounded(compared.median),
        interval=[_rounded(compared.low), _rounded(compared.high)],
        n=timing.plan.n,
        machine=machine,
        baseline_ttft_ms=_rounded(timing.plain.ttft_ms),
    )


def fidelity_record(fidelity: Fidelity, samples: int) -> FidelityRecord:
    """The value on held-out samples, labelled with how it is known."""
    return FidelityRecord(
        kind="task" if fidelity.kind == "task" else "measured",
        value=_rounded(fidelity.value),
        interval=[_rounded(bound) for bound in fidelity.interval],
        top1=None if fidelity.top1 is None else _rounded(fidelity.top1),
        samples=samples,
    )


def machine_of(model: Any, dtype: str, batch: int) -> str:
    """The machine that figures were taken on: device, dtype, batch, versions."""
    import torch

    device = model.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} {device.type}"
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"{name}{threads}, {dtype}, batch {batch}, torch {torch.__version__}"


def _rounded(value: float) -> float:
    """Six significant digits: what the figures carry."""
    return float(f"{value:.6g}")
