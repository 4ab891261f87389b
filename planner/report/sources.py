"""Where every number of a plan comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..studies.storage import shown
from .content import Source

if TYPE_CHECKING:
    from ...ir.plan import Plan
    from .content import Costed

_FIDELITY = {
    "measured": "exp(-mean KL) per answer token against the uncompressed model, on held-out samples",
    "task": "the task's own metric on held-out samples",
    "prior": "fitted to published tables; no weights were run",
}
_PROFILES = {
    "measured": "a profile measured on that machine",
    "datasheet": "a profile from the vendor's data sheet",
    "prior": "a profile from priors",
}


def sources_of(plan: Plan) -> tuple[Source, ...]:
    """One entry for each figure that the plan states, in the order of the file."""
    return (*_predicted(plan), *_measured(plan), *_fidelity(plan), *_ablation(plan), *_search(plan))


def sources_of_page(plan: Plan, costed: Costed | None, *, drawn: bool) -> Iterator[Source]:
    """One entry for each figure that the page adds to the plan's."""
    if costed is not None:
        yield Source(
            "tokens of the stages", "before and after", "counted", f"{costed.graph.model}, traced from its shapes"
        )
    if costed is not None and costed.cost is not None:
        profile = costed.cost.profile
        which = "before" if plan.predicted is not None else "before and after"
        origin = f"cost model of {profile.name} in {costed.cost.pricer.dtype}, {_PROFILES[profile.profile]}"
        yield Source("times of the stages", which, "predicted", origin)
    if drawn:
        yield Source("kept tokens of samples", "as drawn", "measured", "the live model, run for this page")


def _predicted(plan: Plan) -> Iterator[Source]:
    found = plan.predicted
    if found is None:
        return
    device = "an unnamed device"
    if plan.device is not None:
        device = f"{plan.device.name} in {plan.device.dtype}, {_PROFILES[plan.device.profile]}"
    origin = f"cost model of {device}"
    interval = "" if not found.interval else f" (90 % interval {found.interval[0]:.4g} to {found.interval[1]:.4g})"
    yield Source("time to first token", f"{found.ttft_ms:.4g} ms{interval}", "predicted", origin)
    if found.baseline_ttft_ms is not None:
        yield Source("time to first token, uncompressed", f"{found.baseline_ttft_ms:.4g} ms", "predicted", origin)
    yield Source("time per output token", f"{found.tpot_ms:.4g} ms", "predicted", origin)
    if found.baseline_tpot_ms is not None:
        yield Source("time per output token, uncompressed", f"{found.baseline_tpot_ms:.4g} ms", "predicted", origin)
    yield Source("memory", f"{found.memory_bytes / 2**20:.1f} MiB", "predicted", origin)
    for stage in found.stages:
        yield Source(f"stage {stage.name}", f"{stage.ms:.4g} ms, {stage.tokens} tokens", "predicted", origin)


def _measured(plan: Plan) -> Iterator[Source]:
    found = plan.measured
    if found is None:
        return
    origin = f"{found.n} rounds side by side with the uncompressed model; {found.machine}"
    low, high = found.interval or [found.ratio] * 2
    yield Source("time to first token", f"{found.ttft_ms:.4g} ms", "measured", origin)
    if found.baseline_ttft_ms is not None:
        yield Source("time to first token, uncompressed", f"{found.baseline_ttft_ms:.4g} ms", "measured", origin)
    words = f"{100 * found.ratio:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    yield Source("share of the uncompressed model's", words, "measured", origin)


def _fidelity(plan: Plan) -> Iterator[Source]:
    found = plan.fidelity
    if found is None:
        return
    low, high = found.interval or [found.value] * 2
    counted = "published rows" if found.kind == "prior" else "samples"
    origin = f"{_FIDELITY[found.kind]}; {found.samples} {counted}"
    value = f"{found.value:.4f} (95 % interval {low:.4f} to {high:.4f})"
    yield Source("task score" if found.kind == "task" else "fidelity", value, found.kind, origin)
    if found.top1 is not None:
        yield Source("same first choice", f"{100 * found.top1:.1f} % of answer tokens", found.kind, origin)
    if found.error is not None:
        yield Source("error of the prior", f"{found.error:.3f} (RMS)", found.kind, "sources that its fit has not seen")


def _ablation(plan: Plan) -> Iterator[Source]:
    for record in plan.ablation:
        value = f"{record.ttft_ms:.4g} ms, fidelity {record.fidelity:.4f}"
        origin = "TTFT by the cost model; " + _FIDELITY[record.kind]
        yield Source(f"without {' and '.join(record.without)}", value, record.kind, origin)


def _search(plan: Plan) -> Iterator[Source]:
    found = plan.search
    if found is None:
        return
    place = shown(found.study) if found.study else "kept in memory"
    study = f"Optuna study {place}, sampler {found.sampler}, seed {found.seed}"
    origin = study if found.sampler else "every candidate in turn, judged by the prior"
    yield Source("trials", f"{found.trials}, {found.evaluated} different plans judged", "counted", origin)
    for budget, factor in found.pace.items():
        yield Source(f"pace under {budget}", f"{factor:.2f}", "measured", "measured over predicted, before the search")
    if found.considered:
        yield Source("combinations considered", f"{found.considered:,}", "counted", "asked of the cost model")
