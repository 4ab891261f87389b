"""The gate: whether a model under a plan still holds its budget, with the noise accounted for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from ...common.errors import BadInput
from ...cost_models import DeviceProfile
from ...ir.budget import Budget
from ...ir.plan import Plan
from ...ir.sources import load_config
from ...runtime import check_fits
from ..budgets import Budgets, parse_budgets
from .baseline import Baseline, read_baseline
from .looks import Looks, decide
from .predicted import Predictor
from .timing import measured
from .verdict import Verdict, worst

__all__ = ["Baseline", "Looks", "Verdict", "check", "decide", "read_baseline", "verdicts", "worst"]

Mode = Literal["measure", "predict"]


def check(
    plan: Plan,
    *,
    model: Any = None,
    inputs: Mapping[str, Any] | None = None,
    device: DeviceProfile | str | None = None,
    budget: Budgets | None = None,
    mode: Mode = "measure",
    rounds: int = 21,
) -> Verdict:
    """The worst verdict over all budgets, and the one nearest to its limit among equals.

    Measured budgets are broken only when the whole interval lies past the limit, and undecided when it straddles it
    after all looks (`Looks`). Relative limits are of the uncompressed model, timed in the same interleaved rounds of
    this process.

    Args:
        plan: the plan. budget: limits to check instead of the plan's own.
        model: the live model for `measure`; for `predict` also a configuration, or a name or path of `load_config`.
        inputs: what the processor returns for one request, for `measure`.
        device: profile for `predict`; by default the one that the plan names.
        rounds: timed rounds of the first look.

    Raises:
        BadInput: the plan does not fit the model or names what no longer exists, there is no budget, or what the mode
            needs is missing.
    """
    return worst(
        verdicts(plan, model=model, inputs=inputs, device=device, budget=budget, mode=mode, looks=Looks(rounds=rounds))
    )


def verdicts(
    plan: Plan,
    *,
    model: Any = None,
    inputs: Mapping[str, Any] | None = None,
    device: DeviceProfile | str | None = None,
    dtype: str | None = None,
    budget: Budgets | None = None,
    mode: Mode = "measure",
    looks: Looks | None = None,
    baseline: Baseline | None = None,
) -> list[Verdict]:
    """A verdict for every budget, for the memory of a predicted device, and for every figure of a baseline.

    Args:
        plan, model, inputs, device, budget, mode: as for `check`. dtype: of a predicted check, by default the plan's.
        looks: how long a measured check goes on. baseline: what the plan may not be much worse than.

    Raises:
        BadInput: as `check` does.
    """
    budgets = parse_budgets(budget) if budget is not None else plan.budget
    if not budgets and baseline is None:
        raise BadInput("the plan states no budget to check; give one such as ttft<=60%")
    if model is None:
        raise BadInput("a check needs the model; give a live one to measure, or its configuration to predict")
    _fits(plan, model)
    if not budgets and baseline is not None and baseline.plan is None:
        budgets = (Budget("ttft", 1.0, relative=True),)
    timed = tuple(item for item in budgets if item.figure != "fidelity")
    found = [_recorded(plan, item) for item in budgets if item.figure == "fidelity"]
    other = None if baseline is None else baseline.plan
    regressions = () if baseline is None else baseline.regressions(item.figure for item in timed)
    if mode == "predict" and (timed or regressions):
        predictor = Predictor.of(plan, model, device=device, dtype=dtype)
        found += predictor.verdicts(plan, timed, baseline=other, regressions=regressions)
    elif timed or regressions:
        if inputs is None:
            raise BadInput("a measured check needs inputs; give what the processor returns for one request")
        shared: dict[str, Any] = {"baseline": other, "regressions": regressions, "looks": looks or Looks()}
        found += measured(plan, model, inputs, budgets=timed, **shared)
    return found if baseline is None else found + baseline.judge(found)


def _fits(plan: Plan, model: Any) -> None:
    """Refuse a plan for another model, or one that names what no longer exists."""
    check_fits(plan, load_config(model) if isinstance(model, (str, os.PathLike)) else model)


def _recorded(plan: Plan, budget: Budget) -> Verdict:
    """The fidelity that the plan records; broken only where its whole interval lies below the floor."""
    if plan.fidelity is None:
        raise BadInput(f"{budget} cannot be checked: the plan records no fidelity; make the plan with samples")
    value = plan.fidelity.value
    low, high = plan.fidelity.interval or (value, value)
    outcome = "held" if value >= budget.limit else decide(low, high, budget.limit, at_least=True)
    return Verdict(outcome, str(budget), value, budget.limit, (low, high), "recorded")
