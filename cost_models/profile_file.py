"""Device files: from YAML text to a `DeviceProfile`, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..common.validation import validate
from ..common.yaml_lines import Located, dump
from ..ir.op import OP_KINDS
from .curve import Curve
from .profile import ANY, DeviceProfile, Efficiency, Measured
from .profile_schema import SCHEMA_VERSION, Curves, DeviceRecord, PriorRecord, compute_of, curve_of


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
        scales=record.scales,
        efficiency=_efficiency(record, prior),
        error=_required("error", record, prior, located),
        sources=sources,
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
        "scales": dict(profile.scales),
        "error": list(profile.error),
        "threads": profile.threads,
        "measured": None if profile.measured is None else {**vars(profile.measured)},
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
        kind: {d: Efficiency(compute_of(e.compute), curve_of("bytes", e.memory)) for d, e in by_dtype.items()}
        for kind, by_dtype in merged.items()
    }


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
