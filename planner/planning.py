"""`foveate.plan`: from a live model and a budget to a plan with its evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput
from ..cost_models import CostModel, DeviceProfile, load_profile
from ..ir.budget import Budget
from ..ir.plan import Plan
from ..ir.plan_schema import SearchRecord
from ..ir.tracing import trace
from ..ir.workload import Workload
from .evidence import device_record, filled, machine_of
from .fidelity import NEW_TOKENS
from .job import Choice, Job
from .judge import FidelityJudge, Judge, TaskJudge
from .samples import CalibrationSample, split, workload_of
from .search import Progress
from .solver import Solver
from .space import Space
from .task import Metric

if TYPE_CHECKING:
    import torch

Budgets = Budget | str | Sequence[Budget | str]
JudgeOf = Callable[[Sequence[CalibrationSample]], Judge]


def plan(
    model: Any,
    *,
    workload: Workload | str | None = None,
    budget: Budgets,
    device: DeviceProfile | str,
    samples: Sequence[CalibrationSample] | None = None,
    held_out: Sequence[CalibrationSample] | None = None,
    trials: int = 40,
    seed: int = 0,
    study: str | None = None,
    passes: Sequence[str] | None = None,
    progress: Progress | None = None,
    measure: bool = True,
    nearest: bool = False,
    metric: Metric | None = None,
    text: Callable[[torch.Tensor], str] | None = None,
) -> Plan:
    """The plan of best fidelity among those that hold the budget.

    Shapes of plans: nothing, one pass, or one at the projector's output and one inside the decoder. Counts are solved
    against the cost model; fidelity is measured on the live model; finalists are timed side by side and compared on
    samples that the search has not seen.

    Args:
        model: a live transformers model in evaluation mode.
        workload: the request to plan for; by default the one that the samples make up.
        budget: one limit or several, such as `"ttft<=60%"`; with `fidelity>=` the goal is the lowest TTFT.
        device: profile of the device that predictions are for: a name, a path or a `DeviceProfile`.
        samples: calibration requests that the search measures on. held_out: others that decide between the finalists;
            by default every third of `samples`.
        trials: ended trials of the Optuna study, those of earlier runs included; at least one for each single pass.
        seed: the same seed gives the same search. Measured times decide the last counts, so the same plan to the
            letter comes with `measure=False`.
        study: path of an SQLite file (or an Optuna storage URL) in which the search is kept and can be taken up again.
        passes: restricts the passes that are tried; `random`, `uniform` and `pool` always are.
        progress: called with (what, done, total).
        measure: time the finalists on this machine; without it the budget holds by prediction only.
        nearest: return the nearest plan where nothing holds the budget.
        metric, text: judge by `metric(answer, expected)` on the model's own answers instead of fidelity; `text` turns
            answer ids (T,) into text. Every sample then needs an answer.

    Raises:
        BadInput: no live model, no samples, a pass or device that is not known, a budget that is none.
        BudgetNotMet: nothing holds the budget; the sentence says which limit binds, the floor and the nearest plan.
    """
    _require_live(model)
    budgets = parse_budgets(budget)
    asked, decisive = split(samples or (), held_out)
    profile, dtype = load_profile(device), str(model.dtype).removeprefix("torch.")
    graph = trace(model, _request(model, workload, [*asked, *decisive]))
    solver = Solver(Space.of(graph, passes), CostModel(profile, dtype=dtype), budgets)
    judge_of = _judges(model, metric, text, new_tokens=max(1, graph.workload.new_tokens))
    job = Job(model, solver, budgets, asked, decisive, judge_of, seed, progress, measure, nearest)
    choice, record = _chosen(job, trials=trials, study=study)
    return filled(
        solver,
        choice,
        budgets=budgets,
        device=device_record(profile, dtype),
        samples=len(decisive),
        search=record,
        machine=machine_of(model, dtype, graph.workload.batch),
    )


def parse_budgets(budget: Budgets) -> tuple[Budget, ...]:
    """One budget or several, parsed, each once.

    Raises:
        BadInput: there is none, or one is malformed.
    """
    items = [budget] if isinstance(budget, (Budget, str)) else list(budget)
    parsed = tuple(Budget.parse(item) if isinstance(item, str) else item for item in items)
    if not parsed:
        raise BadInput("a plan needs a budget; give one such as ttft<=60%")
    return tuple(dict.fromkeys(parsed))


def _chosen(job: Job, *, trials: int, study: str | None) -> tuple[Choice, SearchRecord | None]:
    """The choice and how it was found; where no plan can hold the budget, the nearest one without a search."""
    closest = job.unreachable()
    if closest is not None:
        return job.settle_for(closest), None
    search = job.search(trials=trials, study=study)
    choice = job.decide(search)
    return choice, SearchRecord(seed=job.seed, trials=search.ended, evaluated=search.evaluated, study=study or "")


def _require_live(model: Any) -> None:
    if not (hasattr(model, "generate") and hasattr(model, "parameters")):
        raise BadInput(
            f"a plan needs a live model to measure fidelity, and this is a {type(model).__name__}; load the model with "
            "its weights (fidelity priors for models without weights are not there yet)"
        )
    if next(model.parameters()).is_meta:
        raise BadInput("a plan needs a live model to measure fidelity, and this one has no weights; load them first")


def _request(model: Any, workload: Workload | str | None, samples: Sequence[CalibrationSample]) -> Workload | None:
    """The stated workload, or the one that the samples make up."""
    if workload is not None:
        return Workload.parse(workload) if isinstance(workload, str) else workload
    image_token = getattr(model.config, "image_token_id", getattr(model.config, "image_token_index", None))
    return workload_of(samples, image_token, new_tokens=NEW_TOKENS)


def _judges(
    model: Any, metric: Metric | None, text: Callable[[torch.Tensor], str] | None, *, new_tokens: int
) -> JudgeOf:
    """By a metric where one is given, else by fidelity.

    Raises:
        BadInput: a metric without `text`.
    """
    if metric is None:
        return lambda samples: FidelityJudge.of(model, samples, new_tokens=new_tokens)
    if text is None:
        raise BadInput("a metric needs `text`, which turns answer ids into text; pass the tokenizer's decode")
    return lambda samples: TaskJudge(model, samples, metric, text, new_tokens)
