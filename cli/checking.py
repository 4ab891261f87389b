"""One plan file through the gate: what the command, the GitHub Action and the pytest marker share."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput
from .inputs import workload_inputs
from .models import EMBEDDED, config_source, default_workload, load_model, traced
from .validate import checked
from .verdicts import Checked

if TYPE_CHECKING:
    from ..ir.plan import Plan
    from ..planner.gating.gate import Baseline, Verdict


@dataclass(frozen=True)
class Request:
    """What is asked of every plan; the fields are the command's options."""

    model: str | None = None
    budget: list[str] | None = None
    measure: bool = False
    device: str | None = None
    dtype: str | None = None
    rounds: int = 21
    workload: str | None = None
    baseline: Baseline | None = None


def check_file(path: Path, asked: Request) -> Checked:
    """What is found of one plan file; a complaint is kept, so that every format can show it."""
    start = time.monotonic()
    try:
        verdicts = _verdicts(path, asked)
    except BadInput as error:
        return Checked(str(path), error=error, seconds=time.monotonic() - start)
    return Checked(str(path), tuple(verdicts), time.monotonic() - start, line=_budget_line(path))


def _verdicts(path: Path, asked: Request) -> list[Verdict]:
    from ..planner.gating.gate import Looks, verdicts

    plan = checked(path)
    model = asked.model or _own_model(plan)
    requested = asked.workload or (str(plan.workload) if plan.workload else None)
    plan = replace(plan, workload=default_workload(model, requested))
    shared: dict[str, Any] = {"budget": asked.budget or None, "baseline": asked.baseline}
    if asked.measure:
        loaded = load_model(model)
        inputs = workload_inputs(loaded, plan.workload)  # type: ignore[arg-type]
        looks = Looks(rounds=asked.rounds)
        return verdicts(plan, model=loaded.model, inputs=inputs, mode="measure", looks=looks, **shared)
    source = str(config_source(model))
    return verdicts(plan, model=source, mode="predict", device=asked.device, dtype=asked.dtype, **shared)


def _own_model(plan: Plan) -> str:
    """The model that the plan names, where it is one that comes with foveate or that can be traced by name.

    Raises:
        BadInput: it names none, or one that foveate does not know.
    """
    if plan.model is None:
        raise BadInput("the plan names no model; give one with --model")
    if plan.model.name in EMBEDDED:
        return plan.model.name
    try:
        traced(plan.model.name)
    except BadInput as error:
        raise BadInput(f"the plan's model {plan.model.name} is not known by that name; give it with --model") from error
    return plan.model.name


def baseline_of(path: Path, max_regression: str = "5%", min_delta: float = 0.1) -> Baseline:
    """The baseline in a file; `max_regression` is a percentage, `min_delta` in ms.

    Raises:
        BadInput: there is none, or the percentage is malformed.
    """
    from ..planner.gating.gate import read_baseline

    text = max_regression.strip().removesuffix("%")
    try:
        allowed = float(text) / 100
    except ValueError:
        allowed = -1.0
    if not 0 <= allowed <= 10:
        raise BadInput(f"--max-regression is {max_regression!r}; write a percentage such as 5%")
    return read_baseline(path, allowed=allowed, least_ms=min_delta)


def _budget_line(path: Path) -> int:
    from ..common.yaml_lines import load

    return load(path).line(("budget",)) or 1
