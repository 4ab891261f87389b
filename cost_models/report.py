"""What a calibration found out, beside the profile itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .parts import PartError
from .profile import DeviceProfile

# Two-sided 90 % of Student's t with as many degrees of freedom as there are held-out figures.
_STUDENT_90 = {1: 6.31, 2: 2.92, 3: 2.35, 4: 2.13, 5: 2.02, 6: 1.94, 7: 1.89, 8: 1.86, 9: 1.83, 10: 1.81, 11: 1.80}
# A handful of models cannot show that a profile is better than this.
_LEAST_ERROR = 0.05
_QUIET = 0.1

Models = tuple[tuple[str, float, float], ...]
"""(name, predicted ms, measured ms) of figures of held-out models."""


@dataclass(frozen=True)
class KindError:
    """How far the fitted curves of one kind of op are from its timed cases: |predicted / measured - 1|."""

    cases: int
    median: float
    p90: float


@dataclass(frozen=True)
class Fit:
    """A calibrated profile and how well it explains what was timed.

    Attributes:
        profile: the profile. errors: by kind of op.
        models: (name, predicted ms, measured ms) of figures of small models, each by a fit that did not see the model.
        yardstick_ms: the yardstick before and after the sweep; they differ where the machine is not quiet.
        seconds: what the calibration took.
    """

    profile: DeviceProfile
    errors: Mapping[str, KindError]
    models: Models
    yardstick_ms: tuple[float, float]
    seconds: float


def error_interval(models: Models) -> tuple[float, float]:
    """90 % bounds of measured / predicted, from the errors of models that their fit did not see.

    What drift of the machine the yardsticks beside every run did not cancel is among these errors.
    """
    return _bounds(np.array([measured / predicted for _, predicted, measured in models]))


def part_error(predicted: Sequence[float], measured: Sequence[float]) -> PartError:
    """90 % bounds of one part of a request, from figures (ms) that their fit did not see, and the range of these."""
    low, high = _bounds(np.array(measured) / np.array(predicted))
    return PartError(low, high, shortest_ms=round(min(measured), 4), longest_ms=round(max(measured), 4))


def _bounds(ratios: NDArray[np.float64]) -> tuple[float, float]:
    """A 90 % interval about 1, even in logarithms, by Student's t on the root mean square of `ratios`."""
    logs = np.log(ratios)
    half = max(_STUDENT_90[min(len(logs), max(_STUDENT_90))] * float(np.sqrt(np.mean(logs**2))), _LEAST_ERROR)
    return round(float(np.exp(-half)), 4), round(float(np.exp(half)), 4)


def scales_words(profile: DeviceProfile) -> str:
    """The host's times and the scales in one line."""
    scales = ", ".join(f"{part} {scale:.2f}" for part, scale in profile.scales.items())
    around = f"{profile.stage_overhead_us:.0f} us a stage, {profile.step_overhead_us:.0f} us a decode step"
    return f"host: {profile.call_overhead_us:.1f} us an op, {around}; scales: {scales}"


def yardstick_words(yardsticks: tuple[float, float]) -> str:
    """The yardsticks (ms) before and after, and what to do where they differ."""
    before, after = yardsticks
    words = f"yardstick {before:.2f} ms before, {after:.2f} ms after"
    quiet = abs(after / before - 1.0) <= _QUIET
    return words if quiet else f"{words}: the machine was not quiet, calibrate again when it is"
