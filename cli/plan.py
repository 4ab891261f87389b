"""`foveate plan`: search for the plan that meets a budget, verify it, write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.errors import BadInput, BudgetNotMet
from .calibrate import require_folder
from .models import EMBEDDED, TESTBED, Loaded, config_source, default_workload, load_model
from .options import MODEL_HELP, BudgetOption, WorkloadOption
from .output import say
from .own_methods import own_methods
from .plan_report import missed_sentence, report_plan
from .progress import progress
from .search_options import (
    JoinOption,
    MeasureOption,
    MetricOption,
    SamplerOption,
    SeedOption,
    SensitivityOption,
    StudyOption,
    TrialsOption,
)

if TYPE_CHECKING:
    from ..ir.budget import Budget
    from ..ir.plan import Plan
    from ..ir.workload import Workload
    from ..planner.fidelity.samples import CalibrationSample

EXAMPLE = (
    'foveate plan qwen2.5-vl-7b --device h100-sxm --workload video=64x448x448,text=64 --budget "ttft<=50%" -o p.yaml'
)
_CALIBRATION_QUESTIONS = 64


def plan(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help=f"{MODEL_HELP}; without weights: a preset or model type.", show_default=False
        ),
    ],
    *,
    budget: BudgetOption,
    device: Annotated[
        str,
        typer.Option("--device", metavar="NAME|FILE", help="A device profile: `foveate devices`.", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PLAN", help="The plan to write (YAML).", show_default=False),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            metavar="FILE|testbed",
            help="JSON lines with image, video or audio, prompt and answer; the testbed has its own. Without any, "
            "fidelity is a prior.",
            show_default=False,
        ),
    ] = None,
    workload: WorkloadOption = None,
    trials: TrialsOption = 72,
    seed: SeedOption = 0,
    sampler: SamplerOption = "tpe",
    study: StudyOption = None,
    sensitivity: SensitivityOption = None,
    join: JoinOption = False,
    measure: MeasureOption = True,
    metric: MetricOption = None,
    methods: Annotated[
        Path | None,
        typer.Option(
            "--methods",
            metavar="FILE",
            help="Passes of your own: a Python file.",
            show_default=False,
            rich_help_panel="Search",
        ),
    ] = None,
    nearest: Annotated[
        bool, typer.Option("--nearest", help="Write the nearest plan where none meets it; still exits 1.")
    ] = False,
) -> None:
    """Find the plan that keeps the most fidelity within a budget.

    With weights and calibration data, candidates are measured on the live model and the finalists timed side by side.
    Without them, times are predicted and fidelity is a prior from published results. Exits 1 where nothing meets the
    budget; nothing is written then without --nearest. --trials and --sampler are for measured searches.
    """
    from ..planner.budgets import parse_budgets
    from ..planner.studies.study import require_sampler

    require_sampler(sampler)
    wanted = Request(
        budgets=parse_budgets(budget),
        workload=workload,
        options={"device": device, "seed": seed, "nearest": nearest},
        searching={
            "trials": trials,
            "sampler": sampler,
            "study": study,
            "sensitivity": sensitivity,
            "measure": measure,
            "metric": metric,
        },
    )
    source = calibration or (model if model in EMBEDDED else None)
    with own_methods(methods):
        if join:
            _join(model, source, wanted)
            return
        if output is None:
            raise BadInput("the plan needs a place to be written to; give one with -o plan.yaml")
        require_folder(output)
        found = _without_weights(model, wanted) if source is None else _measured(model, source, wanted)
    found.save(output)
    report_plan(found, output)
    missed = missed_sentence(found, output)
    if missed is not None:
        raise BudgetNotMet(missed)


@dataclass(frozen=True)
class Request:
    """What to plan for. `options` hold however it is planned, `searching` only where there is a live model."""

    budgets: tuple[Budget, ...]
    workload: str | None
    options: dict[str, Any]
    searching: dict[str, Any]


def _without_weights(model: str, wanted: Request) -> Plan:
    from ..planner import plan as search

    for name in ("study", "sensitivity"):
        if wanted.searching[name] is not None:
            raise BadInput(
                f"--{name} keeps measurements, and without weights nothing is measured; "
                f"give --calibration too, or no --{name}"
            )
    if wanted.searching["metric"] is not None:
        raise BadInput("a metric judges answers, and without weights none are given; give --calibration too")
    with progress() as report:
        return search(
            config_source(model), workload=wanted.workload, budget=wanted.budgets, progress=report, **wanted.options
        )


def _measured(model: str, source: str, wanted: Request) -> Plan:
    from ..planner import plan as search

    request = default_workload(model, wanted.workload)
    loaded = load_model(model)
    samples, held_out = calibration_samples(source, loaded, frames=_frames(request))
    with progress() as report:
        found = search(
            loaded.model,
            workload=request,
            budget=wanted.budgets,
            samples=samples,
            held_out=held_out,
            progress=report,
            text=_answer_text(loaded),
            **wanted.options,
            **wanted.searching,
        )
    return named(found, loaded)


def _join(model: str, source: str | None, wanted: Request) -> None:
    """Work on a study that another process has begun, until it is complete."""
    from ..planner.studies.joining import join
    from ..planner.studies.storage import shown

    study = wanted.searching["study"]
    if study is None or source is None:
        what = (
            "--study with the place of the study"
            if study is None
            else "--calibration with the file of the first worker"
        )
        raise BadInput(f"a worker that joins needs what the first one was given; add {what}")
    request = default_workload(model, wanted.workload)
    loaded = load_model(model)
    samples, held_out = calibration_samples(source, loaded, frames=_frames(request))
    with progress() as report:
        ended = join(
            loaded.model,
            study=study,
            workload=request,
            budget=wanted.budgets,
            device=wanted.options["device"],
            samples=samples,
            held_out=held_out,
            seed=wanted.options["seed"],
            sampler=wanted.searching["sampler"],
            measure=wanted.searching["measure"],
            metric=wanted.searching["metric"],
            text=_answer_text(loaded),
            progress=report,
        )
    say(f"The study at {shown(study)} is complete: {ended} trials. The process that began it writes the plan.")


def calibration_samples(
    source: str, loaded: Loaded, *, count: int = _CALIBRATION_QUESTIONS, frames: int | None = None
) -> tuple[list[CalibrationSample], list[CalibrationSample] | None]:
    """Samples to search with and samples to decide on; None leaves it to the planner to hold some of a file out.

    Args:
        count: questions of a testbed to search with. frames: read of a clip whose line does not say how many.

    Raises:
        BadInput: no such file, or a malformed line, which is named.
    """
    from ..planner.fidelity.samples import from_testbed, read_jsonl

    if source not in EMBEDDED:
        return read_jsonl(source, loaded.processor, **({} if frames is None else {"frames": frames})), None
    from ..testbed import samples, video

    drawn = samples if source == TESTBED else video.samples
    found = from_testbed(drawn("calibration", count + count // 2), loaded.processor)
    return found[:count], found[count:]


def _frames(request: Workload) -> int | None:
    """How many frames the clips of a request have, None where it has none."""
    return request.videos[0].frames if request.videos else None


def _answer_text(loaded: Loaded) -> Callable[[Any], str]:
    """What turns a model's answer ids into text."""
    tokenizer = getattr(loaded.processor, "tokenizer", loaded.processor)
    return lambda ids: str(tokenizer.decode(ids, skip_special_tokens=True))


def named(found: Plan, loaded: Loaded) -> Plan:
    """The plan under the name that the user knows the model by."""
    if found.model is None:
        return found
    return replace(found, model=found.model.model_copy(update={"name": loaded.name}))
