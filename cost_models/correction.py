"""A small regularised correction of the analytic model where a user has measurements, with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..common.errors import BadInput
from ..ir.graph import Graph
from .serving import closed_loop
from .turns import conversation_ms

if TYPE_CHECKING:
    from .model import CostModel, Prediction

FloatArray = NDArray[np.float64]

# Two-sided 90 % of the normal distribution, as the intervals of profiles.
_NORMAL_90 = 1.645
# Slopes are believed to be smaller than the level: devices are wrong by a factor before they are wrong by a law.
_SLOPE = 0.5
_LEAST_NOISE, _FIRST_NOISE, _ROUNDS = 0.01, 0.05, 5


@dataclass(frozen=True)
class Measurement:
    """What one model took under one workload and plan: a graph with its placements, TTFT and, where known, TPOT."""

    graph: Graph
    ttft_ms: float
    tpot_ms: float | None = None


@dataclass(frozen=True)
class Ridge:
    """Bayesian linear regression of log(measured / predicted), its prior at zero.

    Attributes:
        weights: (features,) posterior means. covariance: (features, features) theirs. noise: standard deviation of
            single measurements.
    """

    weights: FloatArray
    covariance: FloatArray
    noise: float

    @classmethod
    def fit(cls, features: FloatArray, logs: FloatArray, spread: FloatArray) -> Ridge:
        """The posterior for `features` (n, f), `logs` (n,) and prior standard deviations `spread` (f,).

        The noise is estimated from the residuals in a few rounds (MacKay 1992, doi:10.1162/neco.1992.4.3.415): their
        sum of squares over n less the number of weights that the data determine.
        """
        precision, noise = np.diag(1 / spread**2), _FIRST_NOISE
        covariance, weights = np.linalg.inv(precision), np.zeros(len(spread))
        for _ in range(_ROUNDS if len(logs) else 0):
            covariance = np.linalg.inv(precision + features.T @ features / noise**2)
            weights = covariance @ features.T @ logs / noise**2
            determined = len(spread) - float(np.trace(covariance @ precision))
            left = float(((logs - features @ weights) ** 2).sum())
            noise = max(_LEAST_NOISE, (left / max(len(logs) - determined, 1.0)) ** 0.5)
        return cls(weights, np.asarray(covariance, dtype=np.float64), noise if len(logs) else 0.0)

    def factor(self, features: FloatArray) -> tuple[float, float, float]:
        """(mean, low, high) of measured / predicted at `features` (f,), 90 % of cases."""
        mean = float(features @ self.weights)
        half = _NORMAL_90 * float(np.sqrt(self.noise**2 + features @ self.covariance @ features))
        return float(np.exp(mean)), float(np.exp(mean - half)), float(np.exp(mean + half))


class CorrectedModel:
    """A cost model with a correction on top; predicts as `CostModel` does."""

    def __init__(self, model: CostModel, ttft: Ridge, tpot: Ridge) -> None:
        self.model, self.ttft, self.tpot = model, ttft, tpot

    def predict(self, graph: Graph) -> Prediction:
        """As `CostModel.predict`, its times corrected and its intervals those of the correction."""
        bare, work = self.model.predict(graph), graph.workload
        first, low, high = self.ttft.factor(_features(bare, bare.ttft_ms))
        step, slow, fast = self.tpot.factor(_features(bare, bare.tpot_ms))
        ttft, tpot = first * bare.ttft_ms, step * bare.tpot_ms
        serving = closed_loop(ttft, tpot, workload=work)
        turns = conversation_ms(self.model, graph, ttft_ms=0.0, tpot_ms=0.0)
        answers = work.turns * max(work.new_tokens - 1, 0) * tpot
        return replace(
            bare,
            ttft_ms=ttft,
            tpot_ms=tpot,
            latency_ms=ttft + max(work.new_tokens - 1, 0) * tpot,
            throughput_per_s=serving.throughput_per_s,
            stages=tuple(replace(stage, ms=first * stage.ms) for stage in bare.stages),
            compression_ms=first * bare.compression_ms,
            interval=(low * bare.ttft_ms, high * bare.ttft_ms),
            tpot_interval=(slow * bare.tpot_ms, fast * bare.tpot_ms),
            queued_ttft_ms=serving.ttft_ms,
            queued_latency_ms=serving.latency_ms,
            later_turn_ms=first * bare.later_turn_ms,
            conversation_ms=ttft + first * turns + answers,
        )


def correct(model: CostModel, measurements: Sequence[Measurement]) -> CorrectedModel:
    """`model` drawn towards `measurements`: ridge regression in log space on few features, with a prior at zero.

    Features are the level, the size of the figure, and the shares of the encoder and of the passes' own work; the
    prior's spread is the profile's own error. So without measurements the prediction and its interval stay as they
    are, and each measurement moves and narrows them.

    Raises:
        BadInput: a measured time that is not above zero.
    """
    times = [t for one in measurements for t in (one.ttft_ms, one.tpot_ms) if t is not None]
    if not all(np.isfinite(time) and time > 0 for time in times):
        raise BadInput("a measured time is not above zero; give TTFT and TPOT in milliseconds.")
    predictions = [model.predict(one.graph) for one in measurements]
    ttft = [(p, p.ttft_ms, one.ttft_ms) for p, one in zip(predictions, measurements, strict=True)]
    tpot = [(p, p.tpot_ms, one.tpot_ms) for p, one in zip(predictions, measurements, strict=True) if one.tpot_ms]
    return CorrectedModel(model, _ridge(model, ttft), _ridge(model, tpot))


def _ridge(model: CostModel, seen: Sequence[tuple[Prediction, float, float]]) -> Ridge:
    low, high = np.log(model.profile.error)
    level = max(float(high - low) / 2 / _NORMAL_90, _LEAST_NOISE)
    spread = np.array([level, *[_SLOPE * level] * 3])
    features = np.array([_features(prediction, value) for prediction, value, _ in seen]).reshape(-1, len(spread))
    return Ridge.fit(features, np.array([np.log(measured / value) for _, value, measured in seen]), spread)


def _features(prediction: Prediction, value: float) -> FloatArray:
    """The level, decades from 100 ms, and the shares of encoders and passes in the time to first token."""
    encoder = sum(stage.ms for stage in prediction.stages if stage.name.endswith(".encoder"))
    shares = (encoder / prediction.ttft_ms, prediction.compression_ms / prediction.ttft_ms)
    return np.array([1.0, np.log10(value / 100.0), *shares])
