"""From timed cases to what the fit needs: rates of the machine, and samples in the units of the model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .curve import Axis
from .fit import FloatArray, Samples
from .latency import Pricer, work_size
from .profile import VECTOR
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


def axes_of(kind: str, *, on_cpu: bool) -> tuple[Axis, Axis]:
    """What the compute curve and the memory curve of ops of `kind` depend on.

    A CPU's matrix products reach their peak with the rows, whatever the widths. With a single row the weights are
    read as dot products, each of which starts anew: their rate depends on how long these are.
    """
    rows = on_cpu and kind in ("gemm", VECTOR, "convolution")
    return ("rows" if rows else "flops"), ("inner" if kind == VECTOR else "bytes")


def samples_of(pricer: Pricer, cases: list[Case], seconds: FloatArray, *, axes: tuple[Axis, Axis]) -> Samples:
    """The cases as samples of `fit_kind`, priced as `pricer` will price them."""
    columns = []
    for case in cases:
        counts = {"batch": case.batch, "tokens": case.tokens, "context": case.context}
        flops = pricer.flops(case.op, **counts)
        traffic, rows = pricer.bytes(case.op, **counts), float(case.batch * case.tokens)
        size, span = (work_size(case.op, axis, flops, traffic, rows=rows) for axis in axes)
        launches = float(case.op.launches(**counts)) * 1e-6 * pricer.profile.launch_overhead_us
        columns.append((float(size), float(span), float(flops), float(traffic), launches))
    size_, span_, flops_, traffic_, overhead = np.array(columns).T
    return Samples(size_, span_, flops_, traffic_, overhead, seconds)
