"""`foveate.plan`: from a live model and a budget to a plan with its evidence."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput
from ..cost_models import CostModel, DeviceProfile, load_profile
from ..ir.budget import Budget
from ..ir.plan import Plan
from ..ir.plan_schema import SearchRecord
from ..ir.sources import load_config
from ..ir.tracing import trace
from ..ir.workload import Workload
from .budgets import Budgets, parse_budgets
from .choosing import Choice
from .explaining.evidence import device_record, filled, front_records, machine_of, runners_up
from .explaining.left_out import left_out
from .fidelity.fidelity import NEW_TOKENS
from .fidelity.judge import FidelityJudge, Judge, TaskJudge
from .fidelity.media_check import require_media
from .fidelity.samples import CalibrationSample, split, workload_of
from .fidelity.task import Metric, metric_of, require_answers
from .figures import rounded
from .job import Job
from .search.search import Progress
from .search.solver import Solver
from .search.space import Space
from .studies.sensitivity import kept_sensitivity
from .studies.storage import shown
from .studies.study import PACE, require_sampler
from .weightless import plan_without_weights

if TYPE_CHECKING:
    import torch

JudgeOf = Callable[[Sequence[CalibrationSample]], Judge]


def plan(
    model: Any,
    *,
    workload: Workload | str | None = None,
    budget: Budgets,
    device: DeviceProfile | str,
    samples: Sequence[CalibrationSample] | None = None,
    held_out: Sequence[CalibrationSample] | None = None,
    trials: int = 72,
    seed: int = 0,
    study: str | None = None,
    sensitivity: str | os.PathLike[str] | None = None,
    sampler: str = "tpe",
    passes: Sequence[str] | None = None,
    progress: Progress | None = None,
    measure: bool = True,
    nearest: bool = False,
    metric: Metric | str | None = None,
    text: Callable[[torch.Tensor], str] | None = None,
) -> Plan:
    """The plan of best fidelity among those that hold the budget.

    Without weights (a configuration, a folder, a preset or a model type instead of a live model) fidelity is a prior
    from published results, and times are predictions; see `planner.weightless`.

    Plans hold up to three passes, schedules among them. Counts are solved against the cost model; fidelity is measured
    on the live model; finalists are timed side by side and compared on samples that the search has not seen.

    Args:
        model: a live transformers model in evaluation mode; or what `foveate.trace` takes, to plan without weights.
        workload: the request to plan for; by default the one that the samples make up.
        budget: one limit or several, such as `"ttft<=60%"`; with `fidelity>=` the goal is the lowest TTFT.
        device: profile of the device that predictions are for: a name, a path or a `DeviceProfile`.
        samples: calibration requests that the search measures on. held_out: others that decide between the finalists;
            by default every third of `samples`.
        trials: ended trials of the Optuna study, those of earlier runs included; at least one for each single pass.
        seed: the same seed gives the same search. Measured times decide the last counts, so the same plan to the
            letter comes with `measure=False`.
        study: path of an SQLite file (or an Optuna storage URL) in which the search is kept and can be taken up again.
        sensitivity: a file of what single passes lose alone, made or added to, so that a search for another budget of
            the same model and samples need not measure it again.
        sampler: of the study: `tpe`, `nsga2` or `random`; without weights none runs.
        passes: restricts the passes that are tried; the plain baselines always are.
        progress: called with (what, done, total).
        measure: time the finalists on this machine; without it the budget holds by prediction only.
        nearest: return the nearest plan where nothing holds the budget.
        metric, text: judge by `metric(answer, expected)` on the model's own answers instead of fidelity, or by one of
            `fidelity.task.METRICS` by name; `text` turns answer ids (T,) into text. Every sample then needs an answer.

    Raises:
        BadInput: a live model without samples or samples without one, a pass, device or sampler that is not known,
            budgets that are malformed or contradict each other, a study or file of measurements of something else.
        BudgetNotMet: nothing holds the budget; the sentence says which limit binds, the floor and the nearest plan.
    """
    budgets = parse_budgets(budget)
    require_sampler(sampler)
    if not is_live(model):
        _refuse_measurements(samples, sensitivity)
        return plan_without_weights(
            trace(model, workload),
            budgets=budgets,
            device=load_profile(device),
            passes=passes,
            nearest=nearest,
            seed=seed,
            progress=progress,
            quantised=is_quantised(load_config(model) if isinstance(model, (str, os.PathLike)) else model),
        )
    profile = load_profile(device)
    asked, decisive = split(samples or (), held_out)
    job = job_of(
        model,
        workload=workload,
        budgets=budgets,
        profile=profile,
        asked=asked,
        decisive=decisive,
        passes=passes,
        metric=metric,
        text=text,
    )
    job = replace(job, seed=seed, progress=progress, measure=measure, nearest=nearest, sampler=sampler)
    with kept_sensitivity(sensitivity, job.question()) as known:
        job = replace(job, sensitivity=known)
        choice, record = _chosen(job, trials=trials, study=study, passes=passes)
    return filled(
        job.solver,
        choice,
        budgets=budgets,
        device=device_record(profile, dtype_of(model)),
        samples=len(decisive),
        search=record,
        machine=machine_of(model, dtype_of(model), job.solver.space.graph.workload.batch),
        judge=job.deciding,
        quantised=is_quantised(model),
    )


def job_of(
    model: Any,
    *,
    workload: Workload | str | None,
    budgets: tuple[Budget, ...],
    profile: DeviceProfile,
    asked: Sequence[CalibrationSample],
    decisive: Sequence[CalibrationSample],
    passes: Sequence[str] | None = None,
    metric: Metric | str | None = None,
    text: Callable[[torch.Tensor], str] | None = None,
) -> Job:
    """The job of planning for a live model: its graph traced, its space laid out, its judges at hand.

    Raises:
        BadInput: as `plan`.
    """
    graph = trace(model, _request(model, workload, [*asked, *decisive]))
    judge_of = _judges(model, metric, text, new_tokens=max(1, graph.workload.new_tokens))
    for kind, part in (("search sample", asked), ("held-out sample", decisive)):
        require_media(model, graph.workload, part, kind=kind)
        if metric is not None:
            require_answers(part, kind=kind)
    solver = Solver(Space.of(graph, passes).taken_by(model), CostModel(profile, dtype=dtype_of(model)), budgets)
    return Job(model, solver, budgets, asked, decisive, judge_of, judged_by=_judged_by(metric))


def dtype_of(model: Any) -> str:
    """The dtype of a live model's activations, as device profiles call it."""
    return str(model.dtype).removeprefix("torch.")


def _chosen(
    job: Job, *, trials: int, study: str | None, passes: Sequence[str] | None
) -> tuple[Choice, SearchRecord | None]:
    """The choice and how it was found; where no plan can hold the budget, the nearest one without a search."""
    closest = job.unreachable()
    if closest is not None:
        return job.settle_for(closest), None
    search = job.search(trials=trials, study=study)
    choice = job.decide(search)
    return choice, SearchRecord(
        seed=job.seed,
        trials=search.ended,
        evaluated=search.evaluated,
        study=shown(study or ""),
        sampler=job.sampler,
        considered=search.start.considered,
        pace={budget: rounded(factor) for budget, factor in search.study.user_attrs.get(PACE, {}).items()},
        front=front_records(search.front(), job.solver.baseline.ttft_ms),
        runners_up=runners_up(((item.solution, item.value) for item in search.ranked()), choice.solution),
        left_out=left_out(job.solver.space, passes, model=job.model),
    )


def is_live(model: Any) -> bool:
    """Whether `model` has weights to measure with."""
    return hasattr(model, "generate") and hasattr(model, "parameters") and not next(model.parameters()).is_meta


def is_quantised(model: Any) -> bool:
    """Whether the weights of a model, or of what a configuration describes, are quantised."""
    return getattr(getattr(model, "config", model), "quantization_config", None) is not None


def _refuse_measurements(
    samples: Sequence[CalibrationSample] | None, sensitivity: str | os.PathLike[str] | None
) -> None:
    if samples:
        raise BadInput("calibration samples need a live model to be asked; load the model with its weights")
    if sensitivity is not None:
        raise BadInput("without weights nothing is measured that a file could keep; leave `sensitivity` out")


def _request(model: Any, workload: Workload | str | None, samples: Sequence[CalibrationSample]) -> Workload | None:
    """The stated workload, or the one that the samples make up."""
    if workload is not None:
        return Workload.parse(workload) if isinstance(workload, str) else workload
    image_token = getattr(model.config, "image_token_id", getattr(model.config, "image_token_index", None))
    video_token = getattr(model.config, "video_token_id", getattr(model.config, "video_token_index", None))
    return workload_of(samples, image_token, new_tokens=NEW_TOKENS, video_token=video_token)


def _judged_by(metric: Metric | str | None) -> str:
    if metric is None or isinstance(metric, str):
        return metric or "fidelity"
    return getattr(metric, "__name__", "metric")


def _judges(
    model: Any, metric: Metric | str | None, text: Callable[[torch.Tensor], str] | None, *, new_tokens: int
) -> JudgeOf:
    """By a metric where one is given, else by fidelity.

    Raises:
        BadInput: a metric without `text`, or a name that no metric has.
    """
    if metric is None:
        return lambda samples: FidelityJudge.of(model, samples, new_tokens=new_tokens)
    if text is None:
        raise BadInput("a metric needs `text`, which turns answer ids into text; pass the tokenizer's decode")
    chosen = metric_of(metric)
    return lambda samples: TaskJudge.of(model, samples, chosen, text, new_tokens=new_tokens)
