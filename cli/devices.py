"""`foveate devices`: the device profiles that predictions can be made for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .models import traced
from .options import FormatOption, WorkloadOption
from .output import OutputFormat, print_json, print_table, say

if TYPE_CHECKING:
    from ..cost_models import DeviceProfile

EXAMPLE = "foveate devices h100-sxm"


def devices(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="Only this one; a profile's file may be named.")
    ] = None,
    *,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL", help="Predict what this model costs there.", show_default=False),
    ] = None,
    workload: WorkloadOption = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="PLAN", help="Predict it under this plan.", show_default=False)
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype", help="fp32, bf16 or fp16, of activations; default: the best it has.", show_default=False
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="fp32, bf16, fp16, int8 or int4; default: --dtype.", show_default=False),
    ] = None,
    format: FormatOption = OutputFormat.TABLE,
) -> None:
    """List the device profiles that come with foveate, or predict what a model costs on one."""
    from ..cost_models import device_names, load_profile

    profiles = [load_profile(device) for device in ([name] if name else device_names())]
    if model is not None or plan is not None:
        _costs(name, profiles[0], model, workload, plan, dtype, weights, format)
        return
    if format is OutputFormat.JSON:
        print_json([describe(profile) for profile in profiles])
        return
    columns = ("name", "kind", "profile", "memory GB", "bandwidth GB/s", "dense peak TFLOPS")
    right = ("memory GB", "bandwidth GB/s")
    print_table({c: "right" if c in right else "left" for c in columns}, [_row(profile) for profile in profiles])
    if name:
        say(profiles[0].source)


def _costs(
    name: str | None,
    profile: DeviceProfile,
    model: str | None,
    workload: str | None,
    plan: Path | None,
    dtype: str | None,
    weights: str | None,
    format: OutputFormat,
) -> None:
    """Print what a model costs on a device.

    Raises:
        BadInput: the device or the model is not named, or the device lacks the dtype.
    """
    from ..common.errors import BadInput
    from ..cost_models import CostModel
    from ..ir.plan import load
    from ..runtime import resolve
    from .cost_report import print_costs

    if name is None or model is None:
        raise BadInput("a prediction needs a device and a model; write foveate devices h100-sxm --model qwen2.5-vl-7b")
    cost = CostModel(profile, dtype=dtype or _best_dtype(profile), weight_dtype=weights)
    graph = traced(model, workload)
    print_costs(cost, graph if plan is None else resolve(graph, load(plan)), as_json=format is OutputFormat.JSON)


def _best_dtype(profile: DeviceProfile) -> str:
    """What models are run in there: half precision on a GPU that has it."""
    halves = [dtype for dtype in ("bfloat16", "float16") if profile.kind == "gpu" and dtype in profile.peak_flops]
    return next(iter([*halves, *(d for d in ("float32",) if d in profile.peak_flops), *profile.peak_flops]))


def describe(profile: DeviceProfile) -> dict[str, Any]:
    """One device of the JSON in docs/formats.md."""
    return {
        "name": profile.name,
        "kind": profile.kind,
        "profile": profile.profile,
        "memory_bytes": profile.memory_bytes,
        "bandwidth_bytes_per_s": profile.bandwidth_bytes_per_s,
        "peak_flops": dict(profile.peak_flops),
        "launch_overhead_us": profile.launch_overhead_us,
        "call_overhead_us": profile.call_overhead_us,
        "error": list(profile.error),
        "source": profile.source,
    }


def _row(profile: DeviceProfile) -> list[str]:
    peaks = ", ".join(f"{dtype} {rate / 1e12:.4g}" for dtype, rate in profile.peak_flops.items())
    memory, bandwidth = f"{profile.memory_bytes / 1e9:.0f}", f"{profile.bandwidth_bytes_per_s / 1e9:.0f}"
    return [profile.name, profile.kind, profile.profile, memory, bandwidth, peaks]
