"""Why this plan and not another, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ...common.errors import BadInput
from ...common.names import unknown
from ...ir.placement import Placement
from ...ir.plan import Plan
from ...ir.plan_schema import RunnerUpRecord
from ...ir.site import Site
from ...passes import REGISTRY, Pass, create
from ..priors.judge import passes_with_prior
from ..rules.conflicts import forbidden

_RUNNERS_UP = 5
_FRONT = 6


def explain(plan: Plan) -> str:
    """What the plan does, costs and gains, what each placement buys, which rules decided, and what was not chosen.

    Runners-up that the plan does not hold are read from the study that it names, where that is still there.

    Raises:
        BadInput: the plan names a pass that does not exist.
    """
    sections = (
        _placements(plan),
        _figures(plan),
        _fidelity(plan),
        _ablation(plan),
        _conflicts(plan),
        _search(plan),
        _front(plan),
        _left_out(plan),
    )
    return "\n".join(line for section in sections for line in section) + "\n"


def _placements(plan: Plan) -> Iterator[str]:
    if not plan.placements:
        yield "The plan compresses nothing: the budget holds without it."
    for number, placement in enumerate(sorted(plan.placements, key=lambda p: Site.parse(p.site).depth), start=1):
        if placement.method not in REGISTRY:
            raise unknown("pass", placement.method, REGISTRY.names())
        cls = REGISTRY.get(placement.method)
        yield f"{number}. {placement.method} at {placement.site}: {cls.summary} ({cls.source})."
        yield f"   Keeps {_kept(placement)}; {_where(placement)}."
        if placement.note:
            yield f"   {placement.note[0].upper()}{placement.note[1:]}."


def _kept(placement: Placement) -> str:
    if create(placement.method, placement.params).is_adaptive:
        return "what its threshold leaves, which follows from content; counts and costs here are upper bounds"
    if placement.tokens_in is None or placement.tokens_out is None:
        return f"{100 * placement.keep:.3g} % of the tokens"
    return f"{placement.tokens_out} of {placement.tokens_in} tokens ({100 * placement.keep:.3g} %)"


def _where(placement: Placement) -> str:
    site = Site.parse(placement.site)
    if site.kind == "decoder.layer":
        return f"decoder layers 0 to {(site.layer or 1) - 1} still see every token that arrives"
    return "no decoder layer sees the rest"


def _figures(plan: Plan) -> Iterator[str]:
    limits = ", ".join(map(str, plan.budget))
    if limits:
        yield f"Budget: {limits}."
    if plan.predicted is not None:
        base = plan.predicted.baseline_ttft_ms
        share = f", {100 * plan.predicted.ttft_ms / base:.1f} % of {base:.4g} ms uncompressed" if base else ""
        device = f" on {plan.device.name} ({plan.device.profile} profile)" if plan.device else ""
        yield f"Predicted TTFT{device}: {plan.predicted.ttft_ms:.4g} ms{share}."
        heaviest = max(plan.predicted.stages, key=lambda stage: stage.ms, default=None)
        if heaviest is not None:
            yield f"   The largest part is {heaviest.name} with {heaviest.ms:.4g} ms for {heaviest.tokens} tokens."
    if plan.measured is not None:
        low, high = plan.measured.interval or [plan.measured.ratio] * 2
        yield (
            f"Measured TTFT: {plan.measured.ttft_ms:.4g} ms, {100 * plan.measured.ratio:.1f} % of the uncompressed "
            f"model (95 % interval {100 * low:.1f} to {100 * high:.1f} %, n = {plan.measured.n}); "
            f"{plan.measured.machine}."
        )


def _fidelity(plan: Plan) -> Iterator[str]:
    if plan.fidelity is None:
        yield "Fidelity: not measured."
        return
    found = plan.fidelity
    low, high = found.interval or [found.value] * 2
    what = "Task score" if found.kind == "task" else f"Fidelity ({found.kind})"
    counted = "published rows" if found.kind == "prior" else "samples"
    top1 = f"; the same first choice at {100 * found.top1:.1f} % of the answer tokens" if found.top1 is not None else ""
    yield f"{what}: {found.value:.4f} (95 % interval {low:.4f} to {high:.4f}, {found.samples} {counted}){top1}."
    if found.error is not None:
        yield f"   No weights were run; the prior misses sources that it has not seen by {found.error:.3f} (RMS)."
    if found.note:
        yield f"   {found.note[0].upper()}{found.note[1:]}."


def _ablation(plan: Plan) -> Iterator[str]:
    """What each placement buys: how much slower and how much more faithful the plan is without it."""
    if plan.predicted is None or plan.fidelity is None:
        return
    for record in plan.ablation:
        slower, better = record.ttft_ms - plan.predicted.ttft_ms, record.fidelity - plan.fidelity.value
        cost = f"costs {better:.4f} of fidelity" if better >= 0 else f"adds {-better:.4f} of fidelity"
        yield (
            f"{' and '.join(record.without)} saves {slower:.4g} ms of predicted TTFT and {cost} ({record.kind}): "
            f"without it {record.ttft_ms:.4g} ms and {record.fidelity:.4f}."
        )


def _conflicts(plan: Plan) -> Iterator[str]:
    for record in plan.conflicts:
        yield f"{' and '.join(record.between)}: {record.relation}; {record.reason}."


def _search(plan: Plan) -> Iterator[str]:
    if plan.search is None:
        return
    found = plan.search
    how = "judged by the prior" if plan.fidelity is not None and plan.fidelity.kind == "prior" else "measured"
    yield f"Search: {found.trials} trials, {found.evaluated} different plans {how}, seed {found.seed}."
    for budget, factor in found.pace.items():
        yield f"Under {budget} the clock found {factor:.2f} times what was predicted, which moved the search's limit."
    if found.runners_up:
        yield "Best of what was not chosen (value in the search, predicted TTFT):"
        yield from (f"   {other.value:.4f}  {other.ttft_ms:.4g} ms  {other.plan}" for other in found.runners_up)
        return
    runners_up = _runners_up(found.study)
    if runners_up:
        yield "Best of the search on calibration samples:"
        yield from (f"   {value:.4f}  {placements or 'no compression'}" for value, placements in runners_up)


def _front(plan: Plan) -> Iterator[str]:
    """What else was to be had: less time for less of the value, or more for more."""
    front = plan.search.front if plan.search is not None else []
    if not front:
        return
    kind = None if plan.fidelity is None else plan.fidelity.kind
    what = "task score" if kind == "task" else "fidelity"
    base = None if plan.predicted is None else plan.predicted.baseline_ttft_ms
    how = "Expected" if kind == "prior" else "Measured"
    yield f"{how} on the way, each the best of all for its predicted TTFT:"
    for point in _spread(front):
        ttft = f"{100 * point.ttft_ms / base:.1f} %" if base else f"{point.ttft_ms:.4g} ms"
        yield f"   TTFT {ttft} -> {what} {point.value:.4f}  {point.plan}"


def _spread(front: Sequence[RunnerUpRecord]) -> list[RunnerUpRecord]:
    """At most `_FRONT` of the points, the first and the last among them."""
    if len(front) <= _FRONT:
        return list(front)
    return [front[round(number * (len(front) - 1) / (_FRONT - 1))] for number in range(_FRONT)]


def _left_out(plan: Plan) -> Iterator[str]:
    """Passes that could not be chosen: a rule forbids them for this workload, the model refuses them, or no prior."""
    if plan.search is None or plan.workload is None:
        return
    able = {name: cls for name, cls in REGISTRY.items().items() if set(cls.modalities) & {*plan.workload.modalities}}
    asked = ((name, forbidden((_alone(name, cls),), REGISTRY.items(), plan.workload)) for name, cls in able.items())
    for reason, names in _by_reason((name, found.reason) for name, found in asked if found is not None):
        yield f"Not allowed here: {', '.join(names)}; {reason}."
    for reason, names in _by_reason(plan.search.left_out.items()):
        yield f"Not possible with this model: {', '.join(names)}; {reason}."
    if plan.fidelity is not None and plan.fidelity.kind == "prior":
        missing = sorted(set(able) - set(passes_with_prior(plan.workload.modalities)))
        yield f"Without published results, so not considered: {', '.join(missing)}."


def _by_reason(reasons: Iterable[tuple[str, str]]) -> Iterable[tuple[str, list[str]]]:
    """Each reason with the passes that have it, in the order in which they come."""
    found: dict[str, list[str]] = {}
    for name, reason in reasons:
        found.setdefault(reason, []).append(name)
    return found.items()


def _alone(name: str, cls: type[Pass]) -> Placement:
    """The pass at the last kind of site that it takes, half of the tokens kept."""
    site = {"decoder.layer": "decoder.layers.1", "decoder.cache": "decoder.cache"}.get(cls.sites[-1])
    return Placement(name, site or f"{cls.modalities[0]}.projector.output", 0.0 if cls.withdraws else 0.5)


def _runners_up(study: str) -> list[tuple[float, str]]:
    """The best values of the study, with their placements; nothing where it cannot be read."""
    if not study or ("://" not in study and not Path(study).is_file()):
        return []
    from ..studies.study import best_of

    try:
        return best_of(study, _RUNNERS_UP)
    except BadInput:
        return []
