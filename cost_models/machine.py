"""What machine this is: the fields of a measured profile that no timing gives."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .profile import DeviceProfile, Measured
from .yardstick import Pace

_GUESSED_ERROR = (0.5, 2.0)


def blank_profile(
    device: str, *, peaks: Mapping[str, float], bandwidth: float, launch_us: float, pace: Pace
) -> DeviceProfile:
    """A measured profile of this machine with its rates, and without efficiencies or host times yet."""
    import torch

    on_cpu = device == "cpu"
    threads = torch.get_num_threads() if on_cpu else None
    name = _kebab(processor_name() if on_cpu else torch.cuda.get_device_name())
    memory = _host_memory() if on_cpu else torch.cuda.get_device_properties(0).total_memory
    where = f"{threads} threads" if on_cpu else "one device"
    return DeviceProfile(
        name=f"{name}-{threads}-threads" if on_cpu else name,
        kind="cpu" if on_cpu else "gpu",
        profile="measured",
        source=f"foveate calibrate on {where}, {', '.join(peaks)}, medians of interleaved rounds",
        memory_bytes=int(memory),
        bandwidth_bytes_per_s=float(f"{bandwidth:.4g}"),
        peak_flops={dtype: float(f"{peak:.4g}") for dtype, peak in peaks.items()},
        launch_overhead_us=launch_us,
        causal_skips=not on_cpu,
        overlaps=not on_cpu,
        efficiency={},
        error=_GUESSED_ERROR,
        sources=_SOURCES,
        threads=threads,
        measured=Measured(platform.platform(), datetime.now(UTC).date().isoformat(), _versions(), pace.data()),
    )


def circumstances(device: str) -> dict[str, Any]:
    """What timings hold for: the machine, its threads and the versions that matter."""
    import torch

    name = processor_name() if device == "cpu" else torch.cuda.get_device_name()
    return {"device": device, "machine": name, "threads": torch.get_num_threads(), "versions": _versions()}


_SOURCES = {
    "peak_flops": "fastest matrix product of the sweep",
    "bandwidth_bytes_per_s": "fastest map over large tensors of the sweep",
    "launch_overhead_us": "in-place sum of 16 numbers",
    "call_overhead_us": "time of small random-weight LLaVA models of several depths beyond their ops, by op",
    "stage_overhead_us": "the same, by stage: masks, checks, scattering features into embeddings",
    "step_overhead_us": "the same, by decode step",
    "scales": "time of the parts of those models over that of their ops; of passes: of their primitives",
    "error": "those models, each by a fit that did not see it",
    "errors": "the same by part; of passes: their primitives",
}


def processor_name() -> str:
    """The CPU's model name where the system tells it, else its architecture."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _kebab(text: str) -> str:
    words = "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()
    return "-".join(words) or "device"


def _host_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _versions() -> dict[str, str]:
    import torch
    import transformers

    libraries = {"torch": str(torch.__version__), "transformers": transformers.__version__}
    return {"python": platform.python_version(), **libraries}
