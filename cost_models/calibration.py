"""Calibration: a sweep of the machine at hand, fitted to a measured device profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..common.errors import BadInput
from .calibration_run import CalibrationRun, Progress
from .journal import Journal
from .profile import DeviceProfile, dtype_name
from .report import Fit
from .yardstick import Pace

_LEAST_SECONDS = 5.0


def calibrate(
    *,
    device: str = "cpu",
    dtype: str | Sequence[str] = "float32",
    seconds: float = 60.0,
    seed: int = 0,
    journal: Path | None = None,
    progress: Progress | None = None,
) -> DeviceProfile:
    """The measured profile of `device` (`cpu` or `cuda`) at `dtype`, in about `seconds`; `profile.save(path)` keeps it.

    Timed at torch's present thread count, which the profile records. Ops are timed one kind at a time, then small
    whole models, from which the host's times and the scale of each part of a request are fitted. `progress` is called
    with one line a step: the error of the fit by kind of op, and of whole models that their fit did not see.

    Args:
        dtype: one or several; whole models are timed at the first.
        journal: a file that keeps what was timed while the calibration runs. One that was interrupted goes on from
            there when it is called with the same arguments; the file is removed at the end.

    Raises:
        BadInput: an unknown device or dtype, or fewer than 5 seconds.
    """
    return calibrate_with_report(
        device=device, dtype=dtype, seconds=seconds, seed=seed, journal=journal, progress=progress
    ).profile


def calibrate_with_report(
    *,
    device: str = "cpu",
    dtype: str | Sequence[str] = "float32",
    seconds: float = 60.0,
    seed: int = 0,
    journal: Path | None = None,
    progress: Progress | None = None,
) -> Fit:
    """As `calibrate`, with the errors of the fit beside the profile."""
    import torch

    from ..common.timing import fixed_threads
    from .machine import circumstances
    from .timed import Stopwatch

    dtypes = _checked_dtypes((dtype,) if isinstance(dtype, str) else tuple(dtype))
    if seconds < _LEAST_SECONDS:
        raise BadInput(f"calibration needs at least {_LEAST_SECONDS:g} seconds, not {seconds:g}; give more.")
    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        raise BadInput(f"cannot calibrate device {device!r}: it is not here; use cpu, or cuda where torch finds a GPU.")
    report = progress or (lambda line: None)
    with fixed_threads(torch.get_num_threads()), torch.inference_mode():
        kept = Journal(journal, {**circumstances(device), "dtypes": dtypes, "seconds": seconds, "seed": seed})
        if kept.resumed:
            report(f"resumed: {kept.resumed} steps were timed before")
        reference = Pace(**kept.timed("reference", lambda: asdict(Pace.measure(device))))
        found = CalibrationRun(Stopwatch(device, reference), dtypes, seconds, seed, kept, report).fit()
    kept.finish()
    return found


def _checked_dtypes(dtypes: tuple[str, ...]) -> tuple[str, ...]:
    """Full names of the dtypes that kernels can be timed at."""
    import torch

    found = tuple(dict.fromkeys(dtype_name(dtype) for dtype in dtypes))
    for dtype in found:
        if not getattr(getattr(torch, dtype, None), "is_floating_point", False):
            raise BadInput(f"cannot calibrate at dtype {dtype!r}; use float32, float16 or bfloat16.")
    if not found:
        raise BadInput("a calibration needs at least one dtype; give float32, float16 or bfloat16.")
    return found
