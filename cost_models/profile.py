"""Device profiles: what a machine can do, and how sure that is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..common.errors import BadInput
from ..common.files import write_whole
from ..common.names import unknown
from .curve import Curve
from .parts import PartError
from .ridge import Correction

ANY = "any"
"""The key of efficiency curves that hold for every dtype without curves of its own."""

VECTOR = "gemv"
"""The key of efficiency curves for matrix products of one row; where there are none, those of `gemm` hold."""

DTYPE_BYTES: Mapping[str, float] = {
    "float64": 8.0,
    "float32": 4.0,
    "float16": 2.0,
    "bfloat16": 2.0,
    "float8": 1.0,
    "int8": 1.0,
    "int4": 0.5,
}
"""Bytes of one element, by the dtype names that profiles and cost models take."""

ALIASES: Mapping[str, str] = {
    "fp64": "float64", "fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "fp8": "float8",
}  # fmt: skip
"""Short names of dtypes."""


def dtype_name(name: str, *, what: str = "dtype") -> str:
    """The full name of a dtype: `bf16` is `bfloat16`.

    Raises:
        BadInput: there is none of that name; the nearest is offered.

    Example:
        >>> dtype_name("bf16"), dtype_name("int4")
        ('bfloat16', 'int4')
    """
    full = ALIASES.get(name, name)
    if full not in DTYPE_BYTES:
        raise unknown(what, name, (*DTYPE_BYTES, *ALIASES))
    return full


@dataclass(frozen=True)
class Efficiency:
    """How much of the peak rate (`compute`) and of the bandwidth (`memory`) one kind of op reaches."""

    compute: Curve
    memory: Curve


@dataclass(frozen=True)
class Measured:
    """Where and when a measured profile was taken, with which versions of what, and how fast the machine was then.

    `pace_ms` holds the fields of `yardstick.Pace`; profiles of earlier versions have none.
    """

    machine: str
    date: str
    versions: Mapping[str, str]
    pace_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DeviceProfile:
    """A device, as the cost model sees it.

    Attributes:
        name: kebab-case name. kind: `cpu` or `gpu`.
        profile: `measured` on the device, `datasheet` (vendor's rates, prior efficiencies) or `prior` (a guess).
        source: where the numbers are from. sources: the same for single fields, by field name.
        memory_bytes: memory for weights, cache and activations.
        bandwidth_bytes_per_s: peak rate of that memory.
        peak_flops: peak dense FLOPs a second by dtype.
        launch_overhead_us: fixed time of one kernel. call_overhead_us: host time of one op beside its kernels (the
            Python module around it). stage_overhead_us: host time of running one stage once (masks, checks,
            bookkeeping), step_overhead_us: of one decode step. A CPU adds host time to the work, a GPU overlaps them.
        causal_skips: whether causal attention saves the masked half; torch's CPU kernel skips only whole blocks of 512
            keys, so there the FLOPs of full attention are priced.
        efficiency: curves by kind of op, then by dtype or `any`.
        scales: measured over modelled time of the device's work by part (`PARTS`), fitted on small whole models: ops
            timed alone find warm caches, and a model copies and reshapes between them; 1 where a part is missing. Of
            passes it is their primitives', `passes.NAME` for ops of that name.
        overlaps: whether arithmetic and memory traffic of one op overlap, so that the slower decides (the roofline);
            where they do not, as in a CPU's matrix product that packs its weights first, their times add up.
        error: (low, high) bounds of measured / predicted time, 90 % of cases.
        errors: the same by part of a request (`PARTS`) where it is known, with the times that it was seen on.
        correction: what measurements of a user's own say about the predictions (`correction.correct`), None without.
        threads: CPU threads that a measured profile holds for, None elsewhere.
        measured: the circumstances of a measured profile, None for others.
    """

    name: str
    kind: Literal["cpu", "gpu"]
    profile: Literal["measured", "datasheet", "prior"]
    source: str
    memory_bytes: int
    bandwidth_bytes_per_s: float
    peak_flops: Mapping[str, float]
    launch_overhead_us: float
    efficiency: Mapping[str, Mapping[str, Efficiency]]
    error: tuple[float, float]
    call_overhead_us: float = 0.0
    stage_overhead_us: float = 0.0
    step_overhead_us: float = 0.0
    causal_skips: bool = True
    overlaps: bool = True
    errors: Mapping[str, PartError] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    correction: Correction | None = None
    threads: int | None = None
    measured: Measured | None = None

    def peak(self, dtype: str) -> float:
        """Peak dense FLOPs a second at `dtype`.

        Raises:
            BadInput: an unknown dtype, or one that this device has no rate for.
        """
        full = dtype_name(dtype)
        if full not in self.peak_flops:
            rates = ", ".join(sorted(self.peak_flops))
            raise BadInput(f"device {self.name} has no peak rate for {full}; use one of {rates}.")
        return self.peak_flops[full]

    def curves(self, kind: str, dtype: str) -> Efficiency:
        """The efficiency of ops of `kind` at `dtype`, else at any dtype.

        Raises:
            BadInput: the profile has no curves for them.
        """
        by_dtype = self.efficiency.get(kind, {})
        found = by_dtype.get(dtype) or by_dtype.get(ANY)
        if found is None:
            raise BadInput(f"device {self.name} has no efficiency curves for {kind} at {dtype}; calibrate it there.")
        return found

    def scale(self, part: str) -> float:
        """The scale of `part`; a primitive without its own has that of all passes."""
        return self.scales.get(part, self.scales.get(part.partition(".")[0], 1.0))

    def bounds(self, part: str, ms: float) -> tuple[float, float]:
        """(low, high) of measured / predicted for `part` of a request where it is predicted to take `ms`."""
        known = self.errors.get(part, self.errors.get(part.partition(".")[0]))
        return self.error if known is None else known.bounds(ms)

    def to_yaml(self) -> str:
        """The profile as the text of a device file."""
        from .profile_file import write

        return write(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the profile to `path`, whole or not at all; returns the path."""
        return write_whole(path, self.to_yaml())
