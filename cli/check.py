"""`foveate check`: the gate for CI: does a plan still hold its budget?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.errors import EXIT_DONE, BudgetNotMet, Undecided
from .inputs import workload_inputs
from .models import config_source, default_workload, load_model
from .options import MODEL_HELP, DeviceOption, FormatOption, PlanArgument, WorkloadOption
from .output import OutputFormat, milliseconds, print_json, say
from .validate import checked

if TYPE_CHECKING:
    from ..ir.plan import Plan
    from ..planner.gate import Verdict

EXAMPLE = 'foveate check plan.yaml --model testbed --budget "ttft<=60%" --measure'
_EXIT_CODES = {"held": EXIT_DONE, "broken": BudgetNotMet.exit_code, "undecided": Undecided.exit_code}


def check(
    plan: PlanArgument,
    *,
    model: Annotated[str, typer.Option("--model", metavar="MODEL", help=MODEL_HELP, show_default=False)],
    budget: Annotated[
        list[str] | None,
        typer.Option("--budget", metavar="BUDGET", help="Repeatable; default: the plan's own.", show_default=False),
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Time the live model instead of predicting.")] = False,
    device: DeviceOption = None,
    rounds: Annotated[int, typer.Option("--rounds", min=3, help="Timed rounds with --measure.")] = 21,
    workload: WorkloadOption = None,
    format: FormatOption = OutputFormat.TABLE,
) -> None:
    """Check that a plan still holds its budget.

    Exits 0 where it is held, 1 where it is broken, 3 where noise leaves it undecided.
    """
    found = checked(plan)
    requested = workload or (str(found.workload) if found.workload else None)
    found = replace(found, workload=default_workload(model, requested))
    verdict = _measured(found, model, budget, rounds) if measure else _predicted(found, model, budget, device)
    if format is OutputFormat.JSON:
        print_json(verdict_data(verdict))
    else:
        print_verdict(plan.name, verdict)
    raise typer.Exit(_EXIT_CODES[verdict.verdict])


def verdict_data(verdict: Verdict) -> dict[str, Any]:
    """The JSON of docs/formats.md."""
    return {
        "verdict": verdict.verdict,
        "budget": verdict.budget,
        "value_ms": verdict.value_ms,
        "limit_ms": verdict.limit_ms,
        "interval": list(verdict.interval),
        "mode": verdict.mode,
    }


def print_verdict(name: str, verdict: Verdict) -> None:
    """Print the verdict in one sentence."""
    low, high = (quantity(verdict.budget, bound) for bound in verdict.interval)
    spread = "" if low == high else f" ({low} to {high})"
    figure, limit = quantity(verdict.budget, verdict.value_ms), quantity(verdict.budget, verdict.limit_ms)
    how = {"measure": "measured", "predict": "predicted"}.get(verdict.mode, verdict.mode)
    say(f"{name}: {verdict.budget} is {verdict.verdict}: {how} {figure}{spread}, limit {limit}.")


def quantity(budget: str, value: float) -> str:
    """A figure of the budget with its unit.

    >>> quantity("ttft<=60%", 12.34), quantity("memory<=2GiB", 2**30), quantity("fidelity>=0.9", 0.95)
    ('12.3 ms', '1.00 GiB', '0.950')
    """
    if budget.startswith("memory"):
        return f"{value / 2**30:.2f} GiB"
    if budget.startswith("throughput"):
        return f"{value:.1f}/s"
    return f"{value:.3f}" if budget.startswith("fidelity") else f"{milliseconds(value)} ms"


def _measured(plan: Plan, model: str, budget: list[str] | None, rounds: int) -> Verdict:
    from ..planner import check as gate

    loaded = load_model(model)
    inputs = workload_inputs(loaded, plan.workload or default_workload(model, None))
    return gate(plan, model=loaded.model, inputs=inputs, budget=budget, mode="measure", rounds=rounds)


def _predicted(plan: Plan, model: str, budget: list[str] | None, device: str | None) -> Verdict:
    from ..ir.sources import load_config
    from ..planner import check as gate

    return gate(plan, model=load_config(config_source(model)), device=device, budget=budget, mode="predict")
