"""`foveate devices`: the device profiles that predictions can be made for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import FormatOption
from .output import OutputFormat, print_json, print_table, say

if TYPE_CHECKING:
    from ..cost_models import DeviceProfile

EXAMPLE = "foveate devices h100-sxm"


def devices(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="Only this one; a profile's file may be named.")
    ] = None,
    *,
    format: FormatOption = OutputFormat.TABLE,
) -> None:
    """List the device profiles that come with foveate."""
    from ..cost_models import device_names, load_profile

    profiles = [load_profile(device) for device in ([name] if name else device_names())]
    if format is OutputFormat.JSON:
        print_json([describe(profile) for profile in profiles])
        return
    columns = ("name", "kind", "profile", "memory GB", "bandwidth GB/s", "dense peak TFLOPS")
    right = ("memory GB", "bandwidth GB/s")
    print_table({c: "right" if c in right else "left" for c in columns}, [_row(profile) for profile in profiles])
    if name:
        say(profiles[0].source)


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
        "source": profile.source,
    }


def _row(profile: DeviceProfile) -> list[str]:
    peaks = ", ".join(f"{dtype} {rate / 1e12:.4g}" for dtype, rate in profile.peak_flops.items())
    memory, bandwidth = f"{profile.memory_bytes / 1e9:.0f}", f"{profile.bandwidth_bytes_per_s / 1e9:.0f}"
    return [profile.name, profile.kind, profile.profile, memory, bandwidth, peaks]
