"""From timed cases to what the fit needs: rates of the machine, and samples in the units of the model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .curve import Axis
from .fit import FloatArray, Samples
from .latency import Pricer, work_size
from .sweep import Case

# Maps over at least this share of the largest one's elements tell the memory's rate, not a cache's.
_LARGE = 0.25


def peak_rates(timed: Mapping[str, tuple[list[Case], FloatArray]], element_bytes: float) -> tuple[float, float]:
    """(FLOPs a second, bytes a second) of the fastest matrix product and of the fastest map over large tensors."""
    gemms, gemm_seconds = timed["gemm"]
    flops = [c.op.flops(batch=c.batch, tokens=c.tokens, context=c.context) for c in gemms]
    maps, map_seconds = timed["elementwise"]
    elements = [c.op.elements(batch=c.batch, tokens=c.tokens, context=c.context) for c in maps]
    rates = np.array(elements) * element_bytes / map_seconds
    large = np.array(elements) >= _LARGE * max(elements)
    return float(np.max(np.array(flops) / gemm_seconds)), float(np.max(rates[large]))


def samples_of(pricer: Pricer, cases: list[Case], seconds: FloatArray, *, axis: Axis) -> Samples:
    """The cases as samples of `fit_kind`, priced as `pricer` will price them."""
    columns = []
    for case in cases:
        counts = {"batch": case.batch, "tokens": case.tokens, "context": case.context}
        flops = pricer.flops(case.op, **counts)
        size = work_size(case.op, axis, flops, rows=float(case.batch * case.tokens))
        launches = float(case.op.launches(**counts)) * 1e-6 * pricer.profile.launch_overhead_us
        columns.append((float(size), float(flops), float(pricer.bytes(case.op, **counts)), launches))
    size_, flops_, traffic, overhead = np.array(columns).T
    return Samples(size_, flops_, traffic, overhead, seconds)
