"""The device file's schema (YAML at the boundary); `profile_file` turns it into a `DeviceProfile`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..common.errors import BadInput
from ..common.names import unknown
from ..ir.op import OP_KINDS
from .curve import Axis, Curve
from .parts import part_fault
from .profile import ANY, DTYPE_BYTES, VECTOR
from .ridge import FEATURES

SCHEMA_VERSION = 1

Positive = Annotated[float, Field(gt=0)]
Microseconds = Annotated[float, Field(ge=0, le=1e6)]
Points = Annotated[list[tuple[Positive, Positive]], Field(min_length=1)]


class Record(BaseModel):
    """Base of every mapping in a device file: unknown keys are refused, numbers are finite."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ComputeRecord(Record):
    """Points of a compute curve over one axis."""

    flops: Points | None = None
    rows: Points | None = None

    @model_validator(mode="after")
    def _one_axis(self) -> ComputeRecord:
        if (self.flops is None) == (self.rows is None):
            raise ValueError("a compute curve is given over flops or over rows; write one of the two")
        _checked(compute_of, self)
        return self


class EfficiencyRecord(Record):
    """Compute and memory curves of one kind of op at one dtype."""

    compute: ComputeRecord
    memory: Points

    @field_validator("memory")
    @classmethod
    def _memory(cls, points: Any) -> Any:
        _checked(curve_of, "bytes", points)
        return points


Curves = dict[str, dict[str, EfficiencyRecord]]


def _named(values: Mapping[str, Any], kind: str, choices: tuple[str, ...]) -> None:
    for name in values:
        if name not in choices:
            raise ValueError(str(unknown(kind, name, choices)))


class Priors(Record):
    """Fields that a device file may leave to a prior."""

    launch_overhead_us: Microseconds | None = None
    call_overhead_us: Microseconds | None = None
    stage_overhead_us: Microseconds | None = None
    step_overhead_us: Microseconds | None = None
    causal_skips: bool | None = None
    overlaps: bool | None = None
    efficiency: Curves = Field(default_factory=dict)
    error: tuple[Positive, Positive] | None = None

    @field_validator("efficiency")
    @classmethod
    def _efficiency(cls, curves: Curves) -> Curves:
        _named(curves, "kind of op", (*OP_KINDS, VECTOR))
        for by_dtype in curves.values():
            _named(by_dtype, "dtype", (*DTYPE_BYTES, ANY))
        return curves

    @field_validator("error")
    @classmethod
    def _error(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and not bounds[0] <= 1.0 <= bounds[1]:
            raise ValueError(f"{list(bounds)} must be [low, high] with low <= 1 <= high, as in [0.8, 1.25]")
        return bounds


class PriorRecord(Priors):
    """A prior file: efficiencies that hold for a class of devices until one is calibrated."""

    foveate_prior: Literal[1]
    name: str
    reason: str


class MeasuredRecord(Record):
    """Where and when a profile was measured."""

    machine: str
    date: str
    versions: dict[str, str]
    pace_ms: dict[str, Positive] = Field(default_factory=dict)


class PartErrorRecord(Record):
    """Bounds of measured / predicted of one part, and the times (ms) of the models that they were seen on."""

    low: Annotated[float, Field(gt=0, le=1)]
    high: Annotated[float, Field(ge=1)]
    shortest_ms: Positive
    longest_ms: Positive


class RidgeRecord(Record):
    """The fit of one figure: a mean for each of `ridge.FEATURES`, their covariance, the noise of a measurement."""

    weights: Annotated[list[float], Field(min_length=len(FEATURES), max_length=len(FEATURES))]
    covariance: list[list[float]]
    noise: Annotated[float, Field(ge=0)]

    @field_validator("covariance")
    @classmethod
    def _covariance(cls, rows: list[list[float]]) -> list[list[float]]:
        if [len(row) for row in rows] != [len(FEATURES)] * len(FEATURES):
            raise ValueError(f"the covariance has a row and a column for each of {', '.join(FEATURES)}")
        return rows


class CorrectionRecord(Record):
    """What a user's own measurements say about the predictions."""

    measurements: Annotated[int, Field(ge=1)]
    ttft: RidgeRecord | None = None
    tpot: RidgeRecord | None = None


class DeviceRecord(Priors):
    """A device file."""

    foveate_device: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    kind: Literal["cpu", "gpu"]
    profile: Literal["measured", "datasheet", "prior"]
    source: Annotated[str, Field(min_length=1)]
    sources: dict[str, str] = Field(default_factory=dict)
    memory_bytes: Annotated[int, Field(gt=0)]
    bandwidth_bytes_per_s: Positive
    peak_flops: Annotated[dict[str, Positive], Field(min_length=1)]
    scales: dict[str, Positive] = Field(default_factory=dict)
    errors: dict[str, PartErrorRecord] = Field(default_factory=dict)
    correction: CorrectionRecord | None = None
    prior: str | None = None
    threads: Annotated[int, Field(ge=1)] | None = None
    measured: MeasuredRecord | None = None

    @field_validator("peak_flops")
    @classmethod
    def _dtypes(cls, rates: dict[str, float]) -> dict[str, float]:
        _named(rates, "dtype", tuple(DTYPE_BYTES))
        return rates

    @field_validator("scales", "errors")
    @classmethod
    def _parts(cls, by_part: dict[str, Any]) -> dict[str, Any]:
        for fault in filter(None, map(part_fault, by_part)):
            raise ValueError(fault)
        return by_part

    @model_validator(mode="after")
    def _circumstances(self) -> DeviceRecord:
        if (self.profile == "measured") != (self.measured is not None):
            raise ValueError("`profile: measured` and the block `measured` (machine, date, versions) go together")
        return self


def curve_of(axis: Axis, points: list[tuple[float, float]]) -> Curve:
    """A curve from the [size, fraction] points of a file."""
    return Curve(axis, tuple(size for size, _ in points), tuple(fraction for _, fraction in points))


def compute_of(record: ComputeRecord) -> Curve:
    """The compute curve of a record, over whichever axis it gives."""
    return curve_of("rows", record.rows) if record.rows is not None else curve_of("flops", record.flops or [])


def _checked(make: Any, *arguments: Any) -> Any:
    """Run a constructor of ours inside pydantic, which wants its complaints as ValueError."""
    try:
        return make(*arguments)
    except BadInput as error:
        raise ValueError(str(error)) from error
