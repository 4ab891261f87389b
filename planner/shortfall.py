"""By how much a plan misses its own budgets, by the figures that it records: measured ones before predicted ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..cost_models.serving import closed_loop
from ..ir.budget import Budget
from ..ir.plan import Plan
from ..ir.plan_schema import MeasuredRecord, PredictedRecord
from ..ir.workload import Workload

_ROUNDING = 1e-5
"""Figures in plans have six significant digits, so a limit that is met exactly may look passed by less than this."""


@dataclass(frozen=True)
class Shortfall:
    """A limit that a plan misses.

    Attributes:
        value: what the plan has, in the limit's own terms: a fraction of the uncompressed model's figure where the
            budget is relative, else ms, bytes, requests a second or fidelity.
        kind: how the value is known: `measured`, `predicted`, `task` or `prior`.
    """

    budget: Budget
    value: float
    kind: str

    @property
    def excess(self) -> float:
        """How far past the limit the value lies, as a part of the limit; held when <= 0."""
        ratio = self.value / self.budget.limit
        return 1 - ratio if self.budget.at_least else ratio - 1


def shortfalls(plan: Plan) -> tuple[Shortfall, ...]:
    """The limits that `plan` misses, in its own order; one on a figure that it does not record counts as held.

    As where finalists are timed (`verify.Finalist.holds`), the measured figure decides where there is one, and memory
    must hold both ways: measured is one prefill, predicted counts answers and other requests too.
    """
    found = (max(_known(plan, budget), key=lambda item: item.excess, default=None) for budget in plan.budget)
    return tuple(item for item in found if item is not None and item.excess > _ROUNDING)


def _known(plan: Plan, budget: Budget) -> Iterator[Shortfall]:
    """The plan's figures that decide on a budget."""
    if budget.figure == "fidelity":
        if plan.fidelity is not None:
            yield Shortfall(budget, plan.fidelity.value, plan.fidelity.kind)
        return
    measured = None if plan.measured is None else _measured(budget, plan.measured, plan.workload)
    if measured is not None:
        yield Shortfall(budget, measured, "measured")
    if plan.predicted is not None and (measured is None or budget.figure == "memory"):
        predicted = _predicted(budget, plan.predicted, plan.workload)
        if predicted is not None:
            yield Shortfall(budget, predicted, "predicted")


def _measured(budget: Budget, found: MeasuredRecord, work: Workload | None) -> float | None:
    if budget.figure == "ttft" and budget.relative:  # paired by round, which drift of the machine leaves alone
        return found.ratio
    if budget.figure == "memory":
        return _against(budget, found.peak_bytes, found.baseline_peak_bytes)
    if budget.figure == "throughput" and work is not None and work.concurrency > 1:
        return None  # several requests in flight share decode steps, which one alone cannot show
    return _timed(budget, found, work)


def _predicted(budget: Budget, found: PredictedRecord, work: Workload | None) -> float | None:
    if budget.figure == "memory":
        return _against(budget, found.memory_bytes, found.baseline_memory_bytes)
    return _timed(budget, found, work)


def _timed(budget: Budget, found: MeasuredRecord | PredictedRecord, work: Workload | None) -> float | None:
    value = _time(budget.figure, found.ttft_ms, found.tpot_ms, work)
    if not budget.relative or found.baseline_ttft_ms is None:
        return _against(budget, value, None)
    return _against(budget, value, _time(budget.figure, found.baseline_ttft_ms, found.baseline_tpot_ms, work))


def _time(figure: str, ttft_ms: float, tpot_ms: float | None, work: Workload | None) -> float | None:
    """A figure on time from the two that plans record, None where what it follows from is missing."""
    if figure == "ttft":
        return ttft_ms
    if tpot_ms is None or figure == "tpot":
        return tpot_ms
    if work is None:
        return None
    if figure == "throughput":
        return float(closed_loop(ttft_ms, tpot_ms, workload=work).throughput_per_s)
    return ttft_ms + max(work.new_tokens - 1, 0) * tpot_ms


def _against(budget: Budget, value: float | None, base: float | None) -> float | None:
    """The value in the terms of the budget's limit, None where the plan does not tell."""
    if value is None or not budget.relative:
        return value
    return value / base if base else None
