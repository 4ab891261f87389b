"""The steps of a calibration: ops of every kind and dtype, the passes' primitives, small whole models."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .fit import KindFit, fit_kind
from .journal import Journal
from .latency import Pricer
from .parts import PartError
from .profile import ANY, DTYPE_BYTES, DeviceProfile
from .report import Fit, KindError, Models, error_interval, part_error, scales_words, yardstick_words
from .whole_models import Observation, WholeFit, fit_whole_models
from .yardstick import yardstick_ms

if TYPE_CHECKING:
    from .sweep import Bench, Case
    from .timed import FloatArray, Stopwatch

Progress = Callable[[str], None]

# Shares of the time that each part may take; what is left goes to building tensors and to the fit itself.
_SHARES = {"gemm": 0.12, "attention": 0.06}
_OTHER_SHARE, _MODEL_SHARE = 0.03, 0.5
# A shorter calibration leaves the larger models out.
_SECONDS_A_MODEL = 5.0
_LAUNCHES = 200


@dataclass(frozen=True)
class CalibrationRun:
    """One calibration: every step is timed, or read from the journal, and reported.

    Attributes:
        watch: times functions. dtypes: whole models run at the first. seconds: the time there is. seed: of the data.
        journal: keeps timings. progress: called with one line a step.
    """

    watch: Stopwatch
    dtypes: tuple[str, ...]
    seconds: float
    seed: int
    journal: Journal
    progress: Progress

    def fit(self) -> Fit:
        from .machine import blank_profile
        from .observations import peak_rates
        from .sweep import bench

        start, device = time.perf_counter(), self.watch.device
        benches = {dtype: bench(device, dtype, self.seed) for dtype in self.dtypes}
        launch_us = self.journal.timed("launch", lambda: self._launch_us(benches[self.dtypes[0]]))
        timed = {dtype: self._sweep(on, dtype) for dtype, on in benches.items()}
        rates = {dtype: peak_rates(timed[dtype], DTYPE_BYTES[dtype]) for dtype in self.dtypes}
        peaks, bandwidth = {d: peak for d, (peak, _) in rates.items()}, rates[self.dtypes[0]][1]
        pace = self.watch.reference
        blank = blank_profile(device, peaks=peaks, bandwidth=bandwidth, launch_us=launch_us, pace=pace)
        fits = {d: {kind: self._fit_kind(kind, d, blank, *cases) for kind, cases in timed[d].items()} for d in timed}
        profile = replace(blank, efficiency=_efficiency(fits))
        profile = self._with_passes(profile, benches[self.dtypes[0]])
        whole = self._whole_models(benches[self.dtypes[0]], profile)
        yardsticks = (pace.compute_ms, yardstick_ms(device=device))
        models = _working(whole)
        errors = {**whole.profile.errors, **_part_errors(whole)}
        profile = replace(whole.profile, error=error_interval(models), errors=errors)
        self.progress(yardstick_words(yardsticks))
        return Fit(profile, _errors(fits), models, yardsticks, time.perf_counter() - start)

    def _launch_us(self, on: Bench) -> float:
        """Time of one kernel with next to nothing to do."""
        tiny = on.tensor(16)

        def run() -> None:
            for _ in range(_LAUNCHES):
                tiny.add_(1.0)

        seconds = self.watch.seconds({"add": run}, budget=0.1)
        return round(1e6 * float(seconds[0]) / _LAUNCHES, 3)

    def _sweep(self, on: Bench, dtype: str) -> dict[str, tuple[list[Case], FloatArray]]:
        """The cases of every kind with their median seconds."""
        from .sweep import CASES

        return {kind: self._timed_cases(f"{kind} {dtype}", list(make(on)), kind) for kind, make in CASES.items()}

    def _timed_cases(self, name: str, cases: list[Case], kind: str) -> tuple[list[Case], FloatArray]:
        budget = self.seconds * _SHARES.get(kind, _OTHER_SHARE) / len(self.dtypes)
        seconds = self.journal.timed(name, lambda: self.watch.case_seconds(cases, budget=budget).tolist())
        return cases, np.array(seconds)

    def _fit_kind(self, kind: str, dtype: str, blank: DeviceProfile, cases: list[Case], seconds: FloatArray) -> KindFit:
        from .observations import axes_of, samples_of

        axes, pricer = axes_of(kind, on_cpu=blank.kind == "cpu"), Pricer(blank, dtype)
        samples = samples_of(pricer, cases, seconds, axes=axes)
        peak, bandwidth = pricer.peak, blank.bandwidth_bytes_per_s
        fit = fit_kind(samples, axes=axes, peak=peak, bandwidth=bandwidth, overlaps=blank.overlaps)
        label = kind if len(self.dtypes) == 1 else f"{kind} {dtype}"
        self.progress(f"{label}: {len(cases)} cases, error {fit.median_error:.0%} median, {fit.p90_error:.0%} p90")
        return fit

    def _with_passes(self, profile: DeviceProfile, on: Bench) -> DeviceProfile:
        """`profile` with the scales of the passes' primitives and the errors that they leave."""
        from .primitives import fit_primitives, primitive_cases

        cases, seconds = self._timed_cases("primitives", list(primitive_cases(on)), "primitives")
        scales, errors = fit_primitives(Pricer(profile, self.dtypes[0]), cases, seconds)
        words = ", ".join(f"{part.partition('.')[2]} {scale:.2f}" for part, scale in scales.items() if "." in part)
        self.progress(f"primitives of passes: {len(cases)} cases, scales: {words}")
        return replace(profile, scales=scales, errors=errors)

    def _whole_models(self, on: Bench, profile: DeviceProfile) -> WholeFit:
        """The profile with host times and scales fitted on small whole models."""
        from .specimens import HOST, WORKING, specimens

        shapes = (*HOST, *WORKING[: max(2, int(self.seconds / _SECONDS_A_MODEL))])
        built = {str(one): one for shape in shapes for one in specimens(on, shape)}
        budget = self.seconds * _MODEL_SHARE
        timed: Mapping[str, Any] = self.journal.timed(
            "models", lambda: self.watch.parts({name: one.run for name, one in built.items()}, budget=budget)
        )
        parts = {name: {part: 1e3 * taken for part, taken in timed[name].items()} for name in built}
        seen = [Observation(one.graph, parts[name], str(one.shape)) for name, one in built.items()]
        whole = fit_whole_models(profile, self.dtypes[0], seen)
        self.progress(scales_words(whole.profile))
        for name, predicted, measured in _working(whole):
            self.progress(f"{name}: {predicted:.1f} ms predicted, {measured:.1f} ms measured")
        return whole


def _efficiency(fits: Mapping[str, Mapping[str, KindFit]]) -> dict[str, dict[str, Any]]:
    """Curves by kind, then by dtype; those of a single dtype hold for any."""
    alone = len(fits) == 1
    kinds = next(iter(fits.values()))
    return {kind: {ANY if alone else d: fit[kind].efficiency for d, fit in fits.items()} for kind in kinds}


def _errors(fits: Mapping[str, Mapping[str, KindFit]]) -> dict[str, KindError]:
    """Errors by kind of op, at the first dtype; other dtypes' have it behind the kind."""
    found = {}
    for place, (dtype, by_kind) in enumerate(fits.items()):
        for kind, fit in by_kind.items():
            error = KindError(len(fit.ratios), fit.median_error, fit.p90_error)
            found[f"{kind} {dtype}" if place else kind] = error
    return found


def _working(whole: WholeFit) -> Models:
    """TTFT and decode step of the models of everyday proportions, each by a fit that did not see it."""
    labels = {"ttft": "first token", "decode": "later token"}
    return tuple(
        (f"{model}, {labels[part]}", *figures) for (model, part), figures in _everyday(whole) if part in labels
    )


def _part_errors(whole: WholeFit) -> dict[str, PartError]:
    """The error of each part that was timed by itself, on the same models."""
    found = {}
    for part in ("encoder", "decoder", "decode"):
        figures = [figures for (_, timed), figures in _everyday(whole) if timed == part]
        found[part] = part_error(*zip(*figures, strict=True))
    return found


def _everyday(whole: WholeFit) -> list[tuple[tuple[str, str], tuple[float, float]]]:
    """The unseen figures of models that are not there for the host's times alone."""
    from .specimens import HOST

    hosts = tuple(str(shape) for shape in HOST)
    return [(name, figures) for name, figures in whole.unseen.items() if not name[0].startswith(hosts)]
