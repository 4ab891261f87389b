"""Why this plan and not another, in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..common.errors import BadInput
from ..common.names import unknown
from ..ir.placement import Placement
from ..ir.plan import Plan
from ..ir.site import Site
from ..passes import REGISTRY

_RUNNERS_UP = 5


def explain(plan: Plan) -> str:
    """What the plan does, what it costs and gains, which rules decided, and what came next in the search.

    The runners-up are read from the study that the plan names, where that file is still there.

    Raises:
        BadInput: the plan names a pass that does not exist.
    """
    sections = (_placements(plan), _figures(plan), _fidelity(plan), _conflicts(plan), _search(plan))
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


def _kept(placement: Placement) -> str:
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
    top1 = f"; the same first choice at {100 * found.top1:.1f} % of the answer tokens" if found.top1 is not None else ""
    yield f"{what}: {found.value:.4f} (95 % interval {low:.4f} to {high:.4f}, {found.samples} samples){top1}."


def _conflicts(plan: Plan) -> Iterator[str]:
    for record in plan.conflicts:
        yield f"{' and '.join(record.between)}: {record.relation}; {record.reason}."


def _search(plan: Plan) -> Iterator[str]:
    if plan.search is None:
        return
    found = plan.search
    yield f"Search: {found.trials} trials, {found.evaluated} different plans measured, seed {found.seed}."
    runners_up = _runners_up(plan.search.study)
    if runners_up:
        yield "Best of the search on calibration samples:"
        yield from (f"   {value:.4f}  {placements or 'no compression'}" for value, placements in runners_up)


def _runners_up(study: str) -> list[tuple[float, str]]:
    """The best values of the study, with their placements; nothing where it cannot be read."""
    if not study or ("://" not in study and not Path(study).is_file()):
        return []
    from .study import best_of

    try:
        return best_of(study, _RUNNERS_UP)
    except BadInput:
        return []
