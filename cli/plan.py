"""`foveate plan`: search for the plan that meets a budget, verify it, write it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..common.errors import BadInput
from .calibrate import require_folder
from .models import TESTBED, Loaded, default_workload, load_model
from .options import BudgetOption, ModelArgument, WorkloadOption
from .output import percent, program, say
from .progress import progress
from .validate import summary

if TYPE_CHECKING:
    from ..ir.plan import Plan
    from ..planner.samples import CalibrationSample

EXAMPLE = 'foveate plan testbed --budget "ttft<=60%" --device generic-cpu -o plan.yaml'
_CALIBRATION_QUESTIONS = 64


def plan(
    model: ModelArgument,
    *,
    budget: BudgetOption,
    device: Annotated[
        str,
        typer.Option("--device", metavar="NAME|FILE", help="A device profile: `foveate devices`.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PLAN", help="The plan to write (YAML).", show_default=False)
    ],
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            metavar="FILE|testbed",
            help="JSON lines with image, prompt and answer; the testbed has its own.",
            show_default=False,
        ),
    ] = None,
    workload: WorkloadOption = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Candidates to measure.")] = 40,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the search.")] = 0,
    study: Annotated[
        str | None, typer.Option("--study", metavar="FILE", help="Keep the search here, and go on with it.")
    ] = None,
    nearest: Annotated[bool, typer.Option("--nearest", help="Write the nearest plan where none meets it.")] = False,
) -> None:
    """Find the plan that keeps the most fidelity within a budget.

    Candidates are searched on the cost model and the live model, the finalists are timed side by side, and the best
    one that holds the budget is written. Exits 1 where none meets it; nothing is written then without --nearest.
    """
    from ..cost_models import load_profile
    from ..ir.budget import Budget
    from ..planner import plan as search

    budgets = [Budget.parse(text) for text in budget]
    require_folder(output)
    profile, request = load_profile(device), default_workload(model, workload)
    source = calibration or (TESTBED if model == TESTBED else None)
    if source is None:
        raise BadInput(f"fidelity is measured on samples of your own: give {model} a --calibration file.")
    loaded = load_model(model)
    samples, held_out = calibration_samples(source, loaded)
    with progress() as report:
        found = search(
            loaded.model,
            workload=request,
            budget=budgets,
            device=profile,
            samples=samples,
            held_out=held_out,
            trials=trials,
            seed=seed,
            study=study,
            progress=report,
            nearest=nearest,
        )
    found = named(found, loaded)
    found.save(output)
    report_plan(found, output)


def calibration_samples(
    source: str, loaded: Loaded, *, count: int = _CALIBRATION_QUESTIONS
) -> tuple[list[CalibrationSample], list[CalibrationSample] | None]:
    """Samples to search with and samples to decide on; None leaves it to the planner to hold some of a file out.

    Raises:
        BadInput: no such file, or a malformed line, which is named.
    """
    from ..planner.samples import from_testbed, read_jsonl

    if source != TESTBED:
        return read_jsonl(source, loaded.processor), None
    from ..testbed import samples

    found = from_testbed(samples("calibration", count + count // 2), loaded.processor)
    return found[:count], found[count:]


def named(found: Plan, loaded: Loaded) -> Plan:
    """The plan under the name that the user knows the model by."""
    if found.model is None:
        return found
    return replace(found, model=found.model.model_copy(update={"name": loaded.name}))


def report_plan(found: Plan, output: Path) -> None:
    """Say what the plan is, what was predicted and measured, and what to try next."""
    say(f"Wrote {output}: {summary(found)}.")
    if found.predicted is not None and found.predicted.baseline_ttft_ms:
        before, after = found.predicted.baseline_ttft_ms, found.predicted.ttft_ms
        say(f"Predicted TTFT {after:.1f} ms, {percent(after / before)} of {before:.1f} ms.")
    if found.measured is not None:
        low, high = found.measured.interval
        spread = f"{percent(low)} to {percent(high)}, n = {found.measured.n}"
        say(f"Measured TTFT {found.measured.ttft_ms:.1f} ms, {percent(found.measured.ratio)} ({spread}).")
    if found.fidelity is not None:
        say(f"Fidelity ({found.fidelity.kind}) {found.fidelity.value:.3f} over {found.fidelity.samples} samples.")
    say(f"Try next: {program()} explain {output}")
