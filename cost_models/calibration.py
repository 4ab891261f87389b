"""Calibration: a sweep of the machine at hand, fitted to a measured device profile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..common.errors import BadInput
from .curve import Axis
from .fit import KindFit, fit_kind
from .latency import Pricer
from .model import CostModel
from .profile import ANY, DTYPE_BYTES, DeviceProfile
from .report import Fit, KindError, error_interval, yardstick_words
from .yardstick import yardstick_ms

if TYPE_CHECKING:
    from .sweep import Bench, Case
    from .timed import FloatArray, Stopwatch

Progress = Callable[[str], None]

_LEAST_SECONDS = 5.0
# Shares of the time that each part may take; what is left goes to building tensors and to the fit itself.
_SHARES = {"gemm": 0.3, "attention": 0.1}
_OTHER_SHARE = 0.04
_HOST_SHARE, _MODEL_SHARE = 0.08, 0.12
_LAUNCHES = 200


def calibrate(
    *,
    device: str = "cpu",
    dtype: str = "float32",
    seconds: float = 60.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> DeviceProfile:
    """The measured profile of `device` (`cpu` or `cuda`) at `dtype`, in about `seconds`; `profile.save(path)` keeps it.

    Timed at torch's present thread count, which the profile records. `progress` is called with one line a step: the
    error of the fit by kind of op, and of small whole models that the fit did not see.

    Raises:
        BadInput: an unknown device or dtype, or fewer than 5 seconds.
    """
    return calibrate_with_report(device=device, dtype=dtype, seconds=seconds, seed=seed, progress=progress).profile


def calibrate_with_report(
    *,
    device: str = "cpu",
    dtype: str = "float32",
    seconds: float = 60.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Fit:
    """As `calibrate`, with the errors of the fit beside the profile."""
    import torch

    from ..common.timing import fixed_threads
    from .timed import Stopwatch

    if seconds < _LEAST_SECONDS:
        raise BadInput(f"calibration needs at least {_LEAST_SECONDS:g} seconds, not {seconds:g}; give more.")
    if dtype not in DTYPE_BYTES or not getattr(getattr(torch, dtype, None), "is_floating_point", False):
        raise BadInput(f"cannot calibrate at dtype {dtype!r}; use float32, float16 or bfloat16.")
    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        raise BadInput(f"cannot calibrate device {device!r}: it is not here; use cpu, or cuda where torch finds a GPU.")
    with fixed_threads(torch.get_num_threads()), torch.inference_mode():
        return _Run(Stopwatch.start(device), dtype, seconds, seed, progress or (lambda line: None)).fit()


@dataclass(frozen=True)
class _Run:
    """One calibration."""

    watch: Stopwatch
    dtype: str
    seconds: float
    seed: int
    progress: Progress

    def fit(self) -> Fit:
        from .machine import blank_profile
        from .observations import peak_rates
        from .sweep import bench

        start, device = time.perf_counter(), self.watch.device
        on = bench(device, self.dtype, self.seed)
        launch_us = self._launch_us(on)
        timed = self._sweep(on)
        peak, bandwidth = peak_rates(timed, DTYPE_BYTES[self.dtype])
        blank = blank_profile(device, self.dtype, peak=peak, bandwidth=bandwidth, launch_us=launch_us)
        fits = {kind: self._fit_kind(kind, blank, *measured) for kind, measured in timed.items()}
        profile = replace(blank, efficiency={kind: {ANY: fit.efficiency} for kind, fit in fits.items()})
        profile = self._with_host(on, profile)
        models = self._held_out(on, profile)
        yardsticks = (self.watch.reference_ms, yardstick_ms(device=device))
        profile = replace(profile, error=error_interval(models, yardsticks))
        errors = {kind: KindError(len(fit.ratios), fit.median_error, fit.p90_error) for kind, fit in fits.items()}
        self.progress(yardstick_words(yardsticks))
        return Fit(profile, errors, models, yardsticks, time.perf_counter() - start)

    def _launch_us(self, on: Bench) -> float:
        """Time of one kernel with next to nothing to do."""
        tiny = on.tensor(16)

        def run() -> None:
            for _ in range(_LAUNCHES):
                tiny.add_(1.0)

        seconds = self.watch.seconds({"add": run}, budget=0.1)
        return round(1e6 * float(seconds[0]) / _LAUNCHES, 3)

    def _sweep(self, on: Bench) -> dict[str, tuple[list[Case], FloatArray]]:
        """The cases of every kind with their median seconds."""
        from .sweep import CASES

        timed = {}
        for kind, make in CASES.items():
            cases = list(make(on))
            budget = self.seconds * _SHARES.get(kind, _OTHER_SHARE)
            timed[kind] = (cases, self.watch.case_seconds(cases, budget=budget))
        return timed

    def _fit_kind(self, kind: str, blank: DeviceProfile, cases: list[Case], seconds: FloatArray) -> KindFit:
        from .observations import samples_of

        axis: Axis = "rows" if kind in ("gemm", "convolution") and blank.kind == "cpu" else "flops"
        pricer = Pricer(blank, self.dtype)
        samples = samples_of(pricer, cases, seconds, axis=axis)
        fit = fit_kind(samples, axis=axis, peak=pricer.peak, bandwidth=blank.bandwidth_bytes_per_s)
        self.progress(f"{kind}: {len(cases)} cases, error {fit.median_error:.0%} median, {fit.p90_error:.0%} p90")
        return fit

    def _with_host(self, on: Bench, profile: DeviceProfile) -> DeviceProfile:
        """The profile with the host's own times."""
        from .host import fit_host, toys

        small = toys(on)
        budget = self.seconds * _HOST_SHARE
        seconds = self.watch.seconds({toy.name: toy.run for toy in small}, budget=budget)
        found = fit_host(profile, self.dtype, list(zip(small, seconds.tolist(), strict=True)))
        self.progress(f"host: {found.call_overhead_us:.1f} us an op, {found.stage_overhead_us:.0f} us a stage")
        return found

    def _held_out(self, on: Bench, profile: DeviceProfile) -> tuple[tuple[str, float, float], ...]:
        """Predicted and measured TTFT (ms) of models that no fit saw."""
        from .host import held_out

        toys, model = held_out(on), CostModel(profile, dtype=self.dtype)
        budget = self.seconds * _MODEL_SHARE
        seconds = self.watch.seconds({toy.name: toy.run for toy in toys}, budget=budget)
        found = []
        for toy, taken in zip(toys, seconds.tolist(), strict=True):
            found.append((toy.name, model.predict(toy.graph).ttft_ms, 1e3 * taken))
            self.progress("{}: {:.1f} ms predicted, {:.1f} ms measured".format(*found[-1]))
        return tuple(found)
