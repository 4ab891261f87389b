"""Fitting what whole models take beyond their ops: the host's times, and a scale for each part of a request.

Ops that are timed alone find their inputs in the cache and their outputs' memory at hand; inside a model they do not,
and there are copies and reshapes between them. So small models come out too fast by the ops alone, and evenly so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..ir.graph import Graph
from . import flow
from .latency import Pricer
from .profile import DeviceProfile

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SCALED = ("encoder", "projector", "decoder", "head", "decode")
"""The parts whose scale is fitted; the others' priors hold them at one where nothing tells."""

_PARTS: Mapping[str, tuple[str, ...]] = {
    "encoder": ("encoder",),
    "decoder": ("decoder",),
    "ttft": ("encoder", "projector", "decoder", "head"),
    "decode": ("decode",),
}
"""What is timed, and the parts that it is the sum of."""

# Prior in log space: mean and standard deviation of us an op, a stage and a step, then of each scale. The projector's
# and the head's scales are hardly seen beside the rest, so they stay near one.
_PRIOR_MEANS = np.log([10.0, 200.0, 200.0, 1.0, 1.0, 1.0, 1.0, 1.0])
_PRIOR_SPREADS = np.array([1.5, 1.5, 1.5, 0.3, 0.1, 0.3, 0.1, 0.3])
# How far medians of a few rounds lie from what the machine takes.
_NOISE = 0.05
_HOST_TIMES = 3
_STEPS, _DAMPING, _DIFFERENCE = 40, 1e-3, 1e-5


@dataclass(frozen=True)
class Observation:
    """Milliseconds that the parts of one request took: `measured` by part (ttft, encoder, decoder, decode).

    Requests of one `group`, the same model with another prompt, are left out together; None is a group of its own.
    """

    graph: Graph
    measured: Mapping[str, float]
    group: str | None = None


@dataclass(frozen=True)
class WholeFit:
    """A profile with host times and scales, and how well they foretell models that they were not fitted on.

    Attributes:
        profile: the profile. unseen: by (graph's model, part), predicted and measured ms, each predicted without the
            group that it belongs to.
    """

    profile: DeviceProfile
    unseen: Mapping[tuple[str, str], tuple[float, float]]


def fit_whole_models(profile: DeviceProfile, dtype: str, observed: Sequence[Observation]) -> WholeFit:
    """`profile` with the host times and scales that explain `observed` best, and its leave-one-model-out errors.

    Regularised least squares in log space (a Gaussian prior on the logarithm of every parameter), by damped
    Gauss-Newton steps (Levenberg 1944, doi:10.1090/qam/10666).
    """
    bare = replace(profile, scales={})
    problem = _Problem.of(Pricer(bare, dtype), observed)
    unseen: dict[tuple[str, str], tuple[float, float]] = {}
    groups = [item.group or item.graph.model for item in observed]
    for group in dict.fromkeys(groups):
        left_out = np.array([one == group for one in groups])[problem.model]
        predicted = problem.where(left_out).predict(problem.where(~left_out).solve())
        names = [(item.graph.model, part) for item, one in zip(observed, groups, strict=True) if one == group
                 for part in item.measured]  # fmt: skip
        figures = zip(predicted.tolist(), problem.measured[left_out].tolist(), strict=True)
        unseen |= dict(zip(names, figures, strict=True))
    return WholeFit(_with(profile, problem.solve()), unseen)


def _with(profile: DeviceProfile, values: FloatArray) -> DeviceProfile:
    call, stage, step, *scales = np.exp(values).round(4).tolist()
    kept = {part: profile.scales[part] for part in profile.scales if part not in SCALED}
    fitted = dict(zip(SCALED, scales, strict=True))
    host = {"call_overhead_us": call, "stage_overhead_us": stage, "step_overhead_us": step}
    return replace(profile, **host, scales=fitted | kept)


@dataclass(frozen=True)
class _Problem:
    """Runs of stages, and the measured sums that they make.

    Attributes:
        measured, model: (n,) ms of each observed part, and which model it is of.
        owner, scale: (r,) of each run, the observation that it belongs to and its part's index in SCALED.
        device: (r,) its ms by the ops alone. counts: (r, 3) ops, stages and decode steps that the host starts.
        overlaps: whether host and device work at the same time.
    """

    measured: FloatArray
    model: IntArray
    owner: IntArray
    scale: IntArray
    device: FloatArray
    counts: IntArray
    overlaps: bool

    @classmethod
    def of(cls, pricer: Pricer, observed: Sequence[Observation]) -> _Problem:
        parts = [(m, part, ms) for m, item in enumerate(observed) for part, ms in item.measured.items()]
        rows = []
        for owner, (m, part, _) in enumerate(parts):
            rows += [(owner, *row) for row in _runs(pricer, observed[m].graph, _PARTS[part])]
        owner_, scale, device, *counts = (np.array(column) for column in zip(*rows, strict=True))
        measured, model = np.array([ms for *_, ms in parts]), np.array([m for m, *_ in parts])
        overlaps = pricer.profile.kind == "gpu"
        return cls(measured, model, owner_, scale, device, np.stack(counts, axis=1), overlaps)

    def where(self, chosen: NDArray[np.bool_]) -> _Problem:
        """The problem of the observations for which `chosen` (n,) is true."""
        kept, numbers = chosen[self.owner], np.cumsum(chosen) - 1
        columns = {name: getattr(self, name)[kept] for name in ("scale", "device", "counts")}
        owner = numbers[self.owner[kept]]
        return replace(self, measured=self.measured[chosen], model=self.model[chosen], owner=owner, **columns)

    def predict(self, values: FloatArray) -> FloatArray:
        """Milliseconds (n,) of every observation under the logarithms `values`."""
        per_count, scales = np.exp(values[:_HOST_TIMES]), np.exp(values[_HOST_TIMES:])
        host, device = 1e-3 * (self.counts @ per_count), self.device * scales[self.scale]
        taken = np.maximum(host, device) if self.overlaps else host + device
        return np.asarray(np.bincount(self.owner, taken, minlength=len(self.measured)), dtype=np.float64)

    def residuals(self, values: FloatArray) -> FloatArray:
        """log(predicted / measured) in units of the noise, then the parameters' distance from their priors."""
        misses = np.log(self.predict(values) / self.measured) / _NOISE
        return np.concatenate([misses, (values - _PRIOR_MEANS) / _PRIOR_SPREADS])

    def solve(self) -> FloatArray:
        """The logarithms of the parameters at the least sum of squared residuals."""
        values, damping = _PRIOR_MEANS.copy(), _DAMPING
        best = self.residuals(values)
        for _ in range(_STEPS):
            slopes = self._slopes(values, best)
            square = slopes.T @ slopes
            step = np.linalg.solve(square + damping * np.diag(np.diag(square)), -slopes.T @ best)
            tried = self.residuals(values + step)
            if tried @ tried < best @ best:
                values, best, damping = values + step, tried, 0.3 * damping
            else:
                damping *= 10
        return values

    def _slopes(self, values: FloatArray, at: FloatArray) -> FloatArray:
        """Derivatives of the residuals, by differences."""
        moved = (values + _DIFFERENCE * unit for unit in np.eye(len(values)))
        return np.stack([(self.residuals(one) - at) / _DIFFERENCE for one in moved], axis=1)


def _runs(pricer: Pricer, graph: Graph, parts: tuple[str, ...]) -> list[tuple[int, float, int, int, int]]:
    """(index of the scale, device ms, ops, stages, decode steps) of every run of a stage that belongs to `parts`."""
    found = []
    for stage in graph.stages:
        if stage.role in parts:
            device = flow.stage_prefill_ms(pricer, graph, stage)
            found.append((SCALED.index(stage.role), device, flow.calls(stage), 1, 0))
        if "decode" in parts and flow.decodes(stage):
            device = flow.stage_decode_ms(pricer, graph, stage)
            found.append((SCALED.index("decode"), device, flow.calls(stage), 0, flow.decode_steps(stage)))
    return found
