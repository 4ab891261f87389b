"""Device files: from YAML text to a `DeviceProfile`, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..common.validation import validate
from ..common.yaml_lines import Located, dump
from ..ir.op import OP_KINDS
from .curve import Axis, Curve
from .parts import PartError
from .profile import ANY, VECTOR, DeviceProfile, Efficiency, Measured
from .profile_schema import (
    SCHEMA_VERSION,
    CorrectionRecord,
    Curves,
    DeviceRecord,
    PriorRecord,
    RidgeRecord,
    compute_of,
    curve_of,
)  # fmt: skip
from .ridge import Correction, Ridge


def read(located: Located) -> DeviceRecord:
    """The checked record of a device file.

    Raises:
        BadInput: it is no device profile, or a field is missing or impossible.
    """
    if not isinstance(located.data, Mapping) or "foveate_device" not in located.data:
        message = "this is not a device profile, which begins with foveate_device: 1"
        raise located.error((), message, "give a device's name or a file that calibration wrote")
    version = located.data["foveate_device"]
    if version != SCHEMA_VERSION:
        message = f"device schema version {version!r} is not one that this foveate reads"
        raise located.error(("foveate_device",), message, f"write foveate_device: {SCHEMA_VERSION}")
    return validate(DeviceRecord, located)


def resolve(record: DeviceRecord, located: Located, prior: PriorRecord | None) -> DeviceProfile:
    """The profile of a device file, with what it leaves open taken from its prior.

    Raises:
        BadInput: a field or the curves of a kind of op are in neither file.
    """
    sources = dict(record.sources)
    if prior is not None:
        sources.setdefault("efficiency", f"prior {prior.name!r}: {prior.reason}")
    profile = DeviceProfile(
        name=record.name,
        kind=record.kind,
        profile=record.profile,
        source=record.source,
        memory_bytes=record.memory_bytes,
        bandwidth_bytes_per_s=record.bandwidth_bytes_per_s,
        peak_flops=record.peak_flops,
        launch_overhead_us=_required("launch_overhead_us", record, prior, located),
        call_overhead_us=_first("call_overhead_us", record, prior) or 0.0,
        stage_overhead_us=_first("stage_overhead_us", record, prior) or 0.0,
        step_overhead_us=_first("step_overhead_us", record, prior) or 0.0,
        causal_skips=_required("causal_skips", record, prior, located),
        overlaps=_first("overlaps", record, prior) is not False,
        errors={part: PartError(**error.model_dump()) for part, error in record.errors.items()},
        scales=record.scales,
        efficiency=_efficiency(record, prior),
        error=_required("error", record, prior, located),
        sources=sources,
        correction=None if record.correction is None else _correction(record.correction),
        threads=record.threads,
        measured=None if record.measured is None else Measured(**record.measured.model_dump()),
    )
    _complete(profile, located)
    return profile


def write(profile: DeviceProfile) -> str:
    """The text of a device file; every field is written out, none is left to a prior."""
    data: dict[str, Any] = {
        "foveate_device": SCHEMA_VERSION,
        "name": profile.name,
        "kind": profile.kind,
        "profile": profile.profile,
        "source": profile.source,
        "sources": dict(profile.sources),
        "memory_bytes": profile.memory_bytes,
        "bandwidth_bytes_per_s": profile.bandwidth_bytes_per_s,
        "peak_flops": dict(profile.peak_flops),
        "launch_overhead_us": profile.launch_overhead_us,
        "call_overhead_us": profile.call_overhead_us,
        "stage_overhead_us": profile.stage_overhead_us,
        "step_overhead_us": profile.step_overhead_us,
        "causal_skips": profile.causal_skips,
        "overlaps": profile.overlaps,
        "errors": {part: {**vars(error)} for part, error in profile.errors.items()},
        "scales": dict(profile.scales),
        "error": list(profile.error),
        "threads": profile.threads,
        "measured": None if profile.measured is None else {**vars(profile.measured)},
        "correction": None if profile.correction is None else _correction_data(profile.correction),
        "efficiency": {
            kind: {dtype: _efficiency_data(curves) for dtype, curves in by_dtype.items()}
            for kind, by_dtype in profile.efficiency.items()
        },
    }
    return dump({key: value for key, value in data.items() if value is not None and value != {}})


def _efficiency_data(efficiency: Efficiency) -> dict[str, Any]:
    compute, memory = efficiency.compute, efficiency.memory
    return {"compute": {compute.axis: _points(compute)}, "memory": _points(memory)}


def _points(curve: Curve) -> list[list[float]]:
    return [[size, fraction] for size, fraction in zip(curve.sizes, curve.fractions, strict=True)]


def _efficiency(record: DeviceRecord, prior: PriorRecord | None) -> dict[str, dict[str, Efficiency]]:
    """Curves by kind and dtype; a kind in the device file covers that kind of the prior whole."""
    merged: Curves = {**(prior.efficiency if prior else {}), **record.efficiency}
    return {
        kind: {d: Efficiency(compute_of(e.compute), curve_of(_span(kind), e.memory)) for d, e in by_dtype.items()}
        for kind, by_dtype in merged.items()
    }


def _correction(record: CorrectionRecord) -> Correction:
    return Correction(record.measurements, *(None if r is None else _ridge(r) for r in (record.ttft, record.tpot)))


def _ridge(record: RidgeRecord) -> Ridge:
    return Ridge(tuple(record.weights), tuple(tuple(row) for row in record.covariance), record.noise)


def _correction_data(correction: Correction) -> dict[str, Any]:
    fits = {"ttft": correction.ttft, "tpot": correction.tpot}
    return {"measurements": correction.measurements} | {
        name: {"weights": [*fit.weights], "covariance": [[*row] for row in fit.covariance], "noise": fit.noise}
        for name, fit in fits.items()
        if fit is not None
    }


def _span(kind: str) -> Axis:
    """What memory curves in a device file are over."""
    return "inner" if kind == VECTOR else "bytes"


def _complete(profile: DeviceProfile, located: Located) -> None:
    for kind in OP_KINDS:
        for dtype in profile.peak_flops:
            by_dtype = profile.efficiency.get(kind, {})
            if dtype not in by_dtype and ANY not in by_dtype:
                message = f"there are no efficiency curves for {kind} at {dtype}"
                raise located.error(("efficiency",), message, "add them, or name a prior such as `prior: gpu`")


def _first(name: str, record: DeviceRecord, prior: PriorRecord | None) -> Any:
    own = getattr(record, name)
    return getattr(prior, name) if own is None and prior is not None else own


def _required(name: str, record: DeviceRecord, prior: PriorRecord | None, located: Located) -> Any:
    value = _first(name, record, prior)
    if value is None:
        raise located.error((), f"{name} is missing", "add it, or name a prior such as `prior: gpu`")
    return value
