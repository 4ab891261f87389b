"""The gate: whether a model under a plan still holds its budget, with the noise accounted for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..common.errors import BadInput
from ..common.timing import Interval, median_interval, ratio_interval
from ..cost_models import CostModel, DeviceProfile, load_profile
from ..ir.budget import Budget
from ..ir.plan import Plan
from ..ir.tracing import trace
from ..runtime import check_fits, compare, resolve
from .budgets import Budgets, parse_budgets
from .solver import figure

if TYPE_CHECKING:
    from ..runtime import Figures

Outcome = Literal["held", "broken", "undecided"]
_ORDER: tuple[Outcome, ...] = ("held", "undecided", "broken")


@dataclass(frozen=True)
class Verdict:
    """What the gate says of one budget.

    Attributes:
        verdict: `held`, `broken`, or `undecided` where the interval straddles the limit.
        budget: the budget. mode: how the figure was had: `measure`, `predict` or `recorded` (fidelity in the plan).
        value_ms, limit_ms: the figure and its limit, in ms (memory in bytes, throughput in requests a second, fidelity
            as it is).
        interval: 95 % interval of the figure; equal bounds where there is none.
    """

    verdict: Outcome
    budget: str
    value_ms: float
    limit_ms: float
    interval: tuple[float, float]
    mode: str


def check(
    plan: Plan,
    *,
    model: Any = None,
    inputs: Mapping[str, Any] | None = None,
    device: DeviceProfile | str | None = None,
    budget: Budgets | None = None,
    mode: Literal["measure", "predict"] = "measure",
    rounds: int = 21,
) -> Verdict:
    """The worst verdict over all budgets, and the one nearest to its limit among equals.

    Measured budgets are broken only when the whole interval lies past the limit, and undecided when it straddles it.
    Relative limits are of the uncompressed model, timed in the same interleaved rounds of this process.

    Args:
        plan: the plan. budget: limits to check instead of the plan's own.
        model: the live model for `measure`; for `predict` also a configuration or a checkpoint folder.
        inputs: what the processor returns for one request, for `measure`.
        device: profile for `predict`; by default the one that the plan names.

    Raises:
        BadInput: the plan does not fit the model or names what no longer exists, there is no budget, or what the mode
            needs is missing.
    """
    budgets = parse_budgets(budget) if budget is not None else plan.budget
    if not budgets:
        raise BadInput("the plan states no budget to check; give one such as ttft<=60%")
    if model is None:
        raise BadInput("a check needs the model; give a live one to measure, or its configuration to predict")
    check_fits(plan, model)
    timed = tuple(item for item in budgets if item.figure != "fidelity")
    verdicts = [_recorded(plan, item) for item in budgets if item.figure == "fidelity"]
    if timed and mode == "measure":
        verdicts += _measured(plan, model, inputs, timed, rounds)
    elif timed:
        verdicts += _predicted(plan, model, device, timed)
    return max(verdicts, key=lambda found: (_ORDER.index(found.verdict), _strain(found)))


def decide(low: float, high: float, limit: float, *, at_least: bool = False) -> Outcome:
    """The verdict for a figure with interval [`low`, `high`].

    >>> decide(9.0, 9.9, 10.0), decide(9.5, 10.5, 10.0), decide(10.1, 11.0, 10.0)
    ('held', 'undecided', 'broken')
    """
    if at_least:
        return "held" if low >= limit else "broken" if high < limit else "undecided"
    return "held" if high <= limit else "broken" if low > limit else "undecided"


def judge_timing(budget: Budget, figures: Figures, plain: Figures, *, new_tokens: int) -> Verdict:
    """The verdict on a time, from figures of the same interleaved rounds.

    A relative limit is checked on the ratio paired by round and given back in ms of the median uncompressed time.

    Raises:
        BadInput: a figure that was not timed.
    """
    value = _samples(budget, figures, new_tokens)
    if budget.relative:
        base = _samples(budget, plain, new_tokens)
        found = ratio_interval(value, base)
        scale = float(median_interval(base).median)
        outcome = decide(found.low, found.high, budget.limit)
        found = Interval(*(scale * bound for bound in found))
        return Verdict(outcome, str(budget), found.median, scale * budget.limit, (found.low, found.high), "measure")
    found = median_interval(value)
    outcome = decide(found.low, found.high, budget.limit)
    return Verdict(outcome, str(budget), found.median, budget.limit, (found.low, found.high), "measure")


def _measured(
    plan: Plan, model: Any, inputs: Mapping[str, Any] | None, budgets: Sequence[Budget], rounds: int
) -> list[Verdict]:
    if inputs is None:
        raise BadInput("a measured check needs inputs; give what the processor returns for one request")
    workload = plan.workload
    new_tokens = max(2, workload.new_tokens if workload else 2)
    steps = new_tokens if any(item.figure in ("tpot", "latency") for item in budgets) else 0
    figures = compare(model, inputs, {"plain": None, "plan": plan}, rounds=rounds, new_tokens=steps)
    return [judge_timing(item, figures["plan"], figures["plain"], new_tokens=new_tokens) for item in budgets]


def _samples(budget: Budget, figures: Figures, new_tokens: int) -> Any:
    if budget.figure == "ttft":
        return figures.ttft_samples
    if budget.figure in ("tpot", "latency") and figures.tpot_ms is not None:
        decode = figures.tpot_ms
        return [decode] if budget.figure == "tpot" else figures.ttft_samples + (new_tokens - 1) * decode
    raise BadInput(f"{budget} cannot be measured here; check it with mode predict")


def _predicted(plan: Plan, model: Any, device: DeviceProfile | str | None, budgets: Sequence[Budget]) -> list[Verdict]:
    if device is None and plan.device is None:
        raise BadInput("a predicted check needs a device, which the plan does not name; give a profile")
    profile = load_profile(device if device is not None else plan.device.name)  # type: ignore[union-attr]
    graph = trace(model, plan.workload)
    cost = CostModel(profile, dtype=plan.device.dtype if plan.device else "float32")
    base, value = cost.predict(graph), cost.predict(resolve(graph, plan))
    return [_prediction(item, figure(value, item.figure), figure(base, item.figure)) for item in budgets]


def _prediction(budget: Budget, value: float, base: float) -> Verdict:
    """A prediction repeats exactly, so it is held or broken by its value alone."""
    outcome: Outcome = "held" if budget.holds(value, base) else "broken"
    return Verdict(outcome, str(budget), value, budget.absolute(base), (value, value), "predict")


def _recorded(plan: Plan, budget: Budget) -> Verdict:
    """The fidelity that the plan records; broken only where its whole interval lies below the floor."""
    if plan.fidelity is None:
        raise BadInput(f"{budget} cannot be checked: the plan records no fidelity; make the plan with samples")
    value = plan.fidelity.value
    low, high = plan.fidelity.interval or (value, value)
    outcome = "held" if value >= budget.limit else decide(low, high, budget.limit, at_least=True)
    return Verdict(outcome, str(budget), value, budget.limit, (low, high), "recorded")


def _strain(verdict: Verdict) -> float:
    """How much of its limit a verdict uses up; above 1 it is past it."""
    ratio = verdict.value_ms / verdict.limit_ms
    return 1 / ratio if verdict.budget.startswith(("fidelity", "throughput")) else ratio
