"""Latency of single ops: overheads plus the slower of arithmetic and traffic, over arrays of counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir.op import Op
from .curve import Axis
from .profile import DTYPE_BYTES, VECTOR, DeviceProfile, dtype_name

FloatArray = NDArray[np.float64]
Counts = int | float | NDArray[Any]


@dataclass(frozen=True)
class Pricer:
    """Prices ops on one device at one dtype.

    The roofline with measured efficiencies (Williams et al. 2009, doi:10.1145/1498765.1498785), plus overheads:

        ms = launches * launch + max(flops / (peak * e_c), bytes / (bandwidth * e_m))

    where bytes = elements * activation bytes + weights * weight bytes, and e_c and e_m are the profile's curves for
    the op's kind. Where a device's arithmetic does not overlap its traffic (`DeviceProfile.overlaps`) it is their sum.
    A matrix product of one row takes the profile's `gemv` curves where it has any. The host's own time (Python,
    dispatch) is kept apart, see `joined_ms`.

    Attributes:
        profile: the device. dtype: of activations and arithmetic; `bf16` for `bfloat16` and the like are taken.
        weight_dtype: of stored weights; None is `dtype`.

    Raises:
        BadInput: a dtype that is unknown or that the device has no rate for.
    """

    profile: DeviceProfile
    dtype: str
    weight_dtype: str | None = None
    peak: float = field(init=False)
    activation_bytes: float = field(init=False)
    weight_bytes: float = field(init=False)

    def __post_init__(self) -> None:
        dtype = dtype_name(self.dtype)
        weights = dtype_name(self.weight_dtype or dtype, what="weight dtype")
        derived = {"dtype": dtype, "peak": self.profile.peak(dtype)}
        derived |= {"activation_bytes": DTYPE_BYTES[dtype], "weight_bytes": DTYPE_BYTES[weights]}
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def op_ms(self, op: Op, *, batch: Counts, tokens: Counts, context: Counts) -> FloatArray:
        """Milliseconds of `op` at the given counts, which are broadcast against each other."""
        counts = {"batch": batch, "tokens": tokens, "context": context}
        launches = np.asarray(op.launches(**counts), dtype=np.float64)
        flops, traffic = self.flops(op, **counts), self.bytes(op, **counts)
        rows = np.asarray(batch, dtype=np.float64) * tokens
        seconds = self._work_seconds(op, op.kind, flops, traffic, rows=rows)
        if op.kind == "gemm" and VECTOR in self.profile.efficiency:
            # The minimum, since more rows must never be cheaper.
            alone = np.minimum(seconds, self._work_seconds(op, VECTOR, flops, traffic, rows=rows))
            seconds = np.where(work_size(op, "rows", flops, traffic, rows=rows) <= 1.0, alone, seconds)
        return np.asarray(1e-3 * launches * self.profile.launch_overhead_us + 1e3 * seconds)

    def _work_seconds(self, op: Op, kind: str, flops: FloatArray, traffic: FloatArray, *, rows: Any) -> FloatArray:
        """Seconds of `flops` and `traffic` bytes by the curves of `kind`: the slower, or the sum without overlap."""
        curves = self.profile.curves(kind, self.dtype)
        size, span = (work_size(op, c.axis, flops, traffic, rows=rows) for c in (curves.compute, curves.memory))
        compute = flops / (self.peak * curves.compute(size))
        memory = traffic / (self.profile.bandwidth_bytes_per_s * curves.memory(span))
        return np.asarray(np.maximum(compute, memory) if self.profile.overlaps else compute + memory)

    def ops_ms(self, ops: Iterable[Op], *, batch: Counts, tokens: Counts, context: Counts) -> FloatArray:
        """Milliseconds of all `ops`, one after the other."""
        total = np.zeros(np.broadcast(batch, tokens, context).shape)
        for op in ops:
            total = total + self.op_ms(op, batch=batch, tokens=tokens, context=context)
        return total

    def joined_ms(self, device_ms: Any, *, calls: int, runs: int = 0, steps: int = 0, part: str | None = None) -> Any:
        """Wall time of `device_ms` of work that the host starts in `calls` ops, `runs` stages and `steps` decode steps.

        A CPU does one after the other; a GPU works while the host goes on, so the slower of the two decides. `part`
        is the part of a request whose scale the profile may have measured (`PARTS`).
        """
        profile = self.profile
        around_us = runs * profile.stage_overhead_us + steps * profile.step_overhead_us
        host_ms = 1e-3 * (calls * profile.call_overhead_us + around_us)
        scaled = device_ms * (1.0 if part is None else profile.scale(part))
        return host_ms + scaled if profile.kind == "cpu" else np.maximum(host_ms, scaled)

    def flops(self, op: Op, *, batch: Counts, tokens: Counts, context: Counts) -> FloatArray:
        """FLOPs that the device runs for `op`: the whole square of a causal attention where it skips none of it."""
        polynomial = op.flops if self.profile.causal_skips else op.convention_flops
        return np.asarray(polynomial(batch=batch, tokens=tokens, context=context), dtype=np.float64)

    def bytes(self, op: Op, *, batch: Counts, tokens: Counts, context: Counts) -> FloatArray:
        """Bytes that `op` reads and writes, its weights once."""
        return self.activations(op, batch=batch, tokens=tokens, context=context) + op.weights * self.weight_bytes

    def activations(self, op: Op, *, batch: Counts, tokens: Counts, context: Counts) -> FloatArray:
        """Bytes of activations that `op` reads and writes."""
        elements = op.elements(batch=batch, tokens=tokens, context=context)
        return np.asarray(elements, dtype=np.float64) * self.activation_bytes


def work_size(op: Op, axis: Axis, flops: FloatArray, traffic: FloatArray, *, rows: Any) -> Any:
    """The size of work on the axis of a curve; rows of a matrix product are its FLOPs over twice its widths."""
    if axis == "rows":
        return flops / (2.0 * op.inner * op.outer) if op.inner and op.outer else rows
    return {"flops": flops, "bytes": traffic, "inner": float(op.inner)}[axis]
