"""Fitting efficiency curves to timed cases: logarithmic least absolute deviations by coordinate descent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..common.errors import BadInput
from .curve import Axis, Curve
from .profile import Efficiency

FloatArray = NDArray[np.float64]

_KNOTS = 7
_SAMPLES_A_KNOT = 3
_FOLDS = 5
_FEWEST = 6
_ROUNDS = 60
_STEPS = (1.0, 0.3, 0.1, 0.03, 0.01)
# Bends cost a little, so that a knot which no case depends on lies between its neighbours.
_STIFFNESS = 0.02
_SETTLED = 1e-6
_TINY = 1e-30


@dataclass(frozen=True)
class Samples:
    """Timed cases of one kind of op: float64 arrays of shape (n,).

    Attributes:
        size, span: size of work on the axis of the compute curve and of the memory curve. flops, traffic: FLOPs and
            bytes. overhead: seconds of kernel launches. seconds: measured time of one call.
    """

    size: FloatArray
    span: FloatArray
    flops: FloatArray
    traffic: FloatArray
    overhead: FloatArray
    seconds: FloatArray

    def where(self, chosen: NDArray[np.bool_]) -> Samples:
        """The samples for which `chosen` (n,) is true."""
        columns = (self.size, self.span, self.flops, self.traffic, self.overhead, self.seconds)
        return Samples(*(column[chosen] for column in columns))


@dataclass(frozen=True)
class KindFit:
    """Curves of one kind of op, and ratios predicted / measured of its cases, each by curves that did not see it."""

    efficiency: Efficiency
    ratios: FloatArray

    @property
    def median_error(self) -> float:
        """Median of |predicted / measured - 1|."""
        return float(np.median(np.abs(self.ratios - 1.0)))

    @property
    def p90_error(self) -> float:
        """90th percentile of |predicted / measured - 1|."""
        return float(np.quantile(np.abs(self.ratios - 1.0), 0.9))


def fit_kind(
    samples: Samples, *, axes: tuple[Axis, Axis], peak: float, bandwidth: float, overlaps: bool = True
) -> KindFit:
    """The compute curve and the memory curve, each over its axis, that explain `samples` best.

    Minimises the mean of |log(predicted / measured)| for

        predicted = overhead + max(flops / (peak * compute(size)), traffic / (bandwidth * memory(span)))

    or, where arithmetic and traffic do not overlap, with their sum in place of the larger.

    The ratios come from a five-fold cross-validation, since curves with many knots can pass through every sample.

    Raises:
        BadInput: fewer than six samples.
    """
    count = len(samples.seconds)
    if count < _FEWEST:
        raise BadInput(f"an efficiency curve needs {_FEWEST} timed cases, not {count}; give more time.")
    problem = _Problem.of(samples, peak=peak, bandwidth=bandwidth, overlaps=overlaps)
    compute, memory = problem.split(problem.solve())
    efficiency = Efficiency(_curve(axes[0], problem.sizes, compute), _curve(axes[1], problem.spans, memory))
    ratios = np.empty(count)
    # Cases come in the order of their sizes, so that folds are drawn rather than dealt.
    folds = np.random.default_rng(0).permutation(count) % _FOLDS
    for fold in range(_FOLDS):
        unseen = folds == fold
        values = replace(problem, samples=samples.where(~unseen)).solve()
        ratios[unseen] = np.exp(replace(problem, samples=samples.where(unseen)).log_ratios(values))
    return KindFit(efficiency, ratios)


@dataclass(frozen=True)
class _Problem:
    """The fit in logarithms: knots of both curves on the x axis, their values the unknowns."""

    samples: Samples
    peak: float
    bandwidth: float
    sizes: FloatArray
    spans: FloatArray
    overlaps: bool

    @classmethod
    def of(cls, samples: Samples, *, peak: float, bandwidth: float, overlaps: bool) -> _Problem:
        most = int(np.clip(len(samples.seconds) // _SAMPLES_A_KNOT, 1, _KNOTS))
        return cls(samples, peak, bandwidth, _knots(samples.size, most), _knots(samples.span, most), overlaps)

    def split(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(compute, memory) values, made to grow no faster than the work."""
        compute, memory = values[: len(self.sizes)], values[len(self.sizes) :]
        # The peak is the fastest that was seen, so no fraction of it is above one; caches do beat the memory.
        return np.minimum(_limited(self.sizes, compute), 0.0), _limited(self.spans, memory)

    def log_ratios(self, values: FloatArray) -> FloatArray:
        """log(predicted / measured) of every sample."""
        s, (compute, memory) = self.samples, self.split(values)
        arithmetic = s.flops / (self.peak * np.exp(np.interp(_log(s.size), self.sizes, compute)))
        traffic = s.traffic / (self.bandwidth * np.exp(np.interp(_log(s.span), self.spans, memory)))
        work = np.maximum(arithmetic, traffic) if self.overlaps else arithmetic + traffic
        return np.asarray(np.log((s.overhead + work) / s.seconds))

    def loss(self, values: FloatArray) -> float:
        """Mean absolute deviation, plus the stiffness of both curves."""
        bends = sum(float(np.abs(np.diff(part, 2)).sum()) for part in self.split(values))
        return float(np.abs(self.log_ratios(values)).mean()) + _STIFFNESS * bends / len(values)

    def start(self) -> FloatArray:
        """Each curve as if it alone explained the samples about each knot."""
        s = self.samples
        work = np.maximum(s.seconds - s.overhead, 0.1 * s.seconds)
        compute = _about(self.sizes, s.size, s.flops / (self.peak * work))
        memory = _about(self.spans, s.span, s.traffic / (self.bandwidth * work))
        return np.concatenate([compute, memory])

    def solve(self) -> FloatArray:
        """Coordinate descent: move one knot, or one whole curve, and keep what lowers the loss."""
        values = self.start()
        best = self.loss(values)
        for step in _STEPS:
            for _ in range(_ROUNDS):
                before = best
                for move in self.moves():
                    trials = (values + step * move, values - step * move)
                    losses = [self.loss(trial) for trial in trials]
                    if min(losses) < best:
                        values, best = trials[int(np.argmin(losses))], min(losses)
                if before - best < _SETTLED:
                    break
        return values

    def moves(self) -> FloatArray:
        """Unit steps of every knot, then of either whole curve, one a row."""
        both = len(self.sizes) + len(self.spans)
        of_compute = (np.arange(both) < len(self.sizes)).astype(np.float64)
        return np.concatenate([np.eye(both), of_compute[None], 1.0 - of_compute[None]])


def _log(values: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.maximum(values, _TINY)))


def _knots(sizes: FloatArray, most: int) -> FloatArray:
    """Logarithms of up to `most` sizes, spread evenly over those that occur; work of no size tells nothing."""
    logs = np.unique(np.log(sizes[sizes > 0])) if (sizes > 0).any() else np.zeros(1)
    return logs if len(logs) <= most else np.linspace(logs[0], logs[-1], most)


def _about(knots: FloatArray, sizes: FloatArray, fractions: FloatArray) -> FloatArray:
    """For each knot the 75th percentile of the log fractions nearest to it: the bound that holds there, not others'."""
    told = sizes > 0
    if not told.any():
        return np.zeros(len(knots))
    nearest = np.abs(np.log(sizes[told])[:, None] - knots[None, :]).argmin(axis=1)
    logs = _log(fractions[told])
    known = {knot: float(np.quantile(logs[nearest == knot], 0.75)) for knot in np.unique(nearest).tolist()}
    return np.interp(np.arange(len(knots)), list(known), list(known.values()))


def _limited(knots: FloatArray, values: FloatArray) -> FloatArray:
    """`values` cut so that none exceeds the one before by more than the work grew."""
    return np.asarray(np.minimum.accumulate(values - knots) + knots)


def _curve(axis: Axis, knots: FloatArray, values: FloatArray) -> Curve:
    return Curve(axis, _rounded(np.exp(knots)), _rounded(np.exp(values)))


def _rounded(values: FloatArray | Sequence[float]) -> tuple[float, ...]:
    return tuple(float(f"{value:.4g}") for value in values)
