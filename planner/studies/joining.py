"""One more worker for a search that another process has begun."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...common.errors import BadInput
from ...common.seeds import sub_seed
from ...cost_models import DeviceProfile, load_profile
from ...ir.workload import Workload
from ..budgets import Budgets, parse_budgets
from ..fidelity.samples import CalibrationSample, split
from ..fidelity.task import Metric
from ..job import Job
from ..planning import is_live, job_of
from ..search.search import Progress
from .storage import shown
from .study import TRIALS, join_study
from .workers import worker_name

if TYPE_CHECKING:
    import optuna
    import torch

_PATIENCE_S = 3600.0
"""How long a worker waits for the first one, which asks and times every pass alone before it queues trials."""

_PAUSE_S = 0.5


def join(
    model: Any,
    *,
    study: str,
    workload: Workload | str | None = None,
    budget: Budgets,
    device: DeviceProfile | str,
    samples: Sequence[CalibrationSample] | None = None,
    held_out: Sequence[CalibrationSample] | None = None,
    seed: int = 0,
    sampler: str = "tpe",
    passes: Sequence[str] | None = None,
    progress: Progress | None = None,
    measure: bool = True,
    metric: Metric | str | None = None,
    text: Callable[[torch.Tensor], str] | None = None,
) -> int:
    """Run trials of the study until it is complete; the plan is decided by the process that began it.

    The arguments are those that `foveate.plan` was given there.

    Args:
        study: path of the SQLite file or the Optuna storage URL.

    Returns:
        How many trials of the study have ended, whoever ran them.

    Raises:
        BadInput: no live model, no study at that place, or one that searches for something else.
    """
    if not is_live(model):
        raise BadInput("a worker measures on a live model, and this one has no weights; load them first")
    asked, decisive = split(samples or (), held_out)
    job = job_of(
        model,
        workload=workload,
        budgets=parse_budgets(budget),
        profile=load_profile(device),
        asked=asked,
        decisive=decisive,
        passes=passes,
        metric=metric,
        text=text,
    )
    return join_job(replace(job, seed=seed, progress=progress, measure=measure, sampler=sampler), study)


def join_job(job: Job, place: str) -> int:
    """Run trials of the job's study at `place` until it is complete; how many have ended."""
    kept = join_study(place, question=job.question())
    judge = job.judge_of(job.asked)
    total = _trials(kept, place, job.progress)
    search = job.joining(kept, judge, seed=sub_seed(job.seed, "worker", worker_name()))
    search.run(total, warm=False)  # the first worker alone queues what is tried first
    return search.ended


def _trials(study: optuna.Study, place: str, progress: Progress | None) -> int:
    """How many trials shall end, as soon as the first worker has said so."""
    ends = time.monotonic() + _PATIENCE_S
    if progress and TRIALS not in study.user_attrs:
        progress("wait for the first worker", 0, 1)
    while (total := study.user_attrs.get(TRIALS)) is None:
        if time.monotonic() > ends:
            raise BadInput(f"the study at {shown(place)} has queued no trial for an hour; does its first worker run?")
        time.sleep(_PAUSE_S)
    return int(total)
