"""Ridge regression of what a model took over what was predicted: the correction that a profile carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Two-sided 90 % of the normal distribution, as the intervals of profiles.
NORMAL_90 = 1.645
_LEAST_NOISE, _FIRST_NOISE, _ROUNDS = 0.01, 0.05, 5

FEATURES = ("level", "decades from 100 ms", "share of encoders", "share of passes")
"""What the logarithm of measured / predicted may depend on; the shares are of the time to first token."""


@dataclass(frozen=True)
class Ridge:
    """Bayesian linear regression of log(measured / predicted), its prior at zero.

    Attributes:
        weights: (features,) posterior means. covariance: (features, features) theirs. noise: standard deviation of
            single measurements.
    """

    weights: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
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
        rows = tuple(tuple(row) for row in covariance.tolist())
        return cls(tuple(weights.tolist()), rows, noise if len(logs) else 0.0)

    def mean(self, features: FloatArray) -> FloatArray:
        """Measured / predicted at `features` (..., f)."""
        return np.asarray(np.exp(features @ np.array(self.weights)), dtype=np.float64)

    def bounds(self, features: FloatArray) -> tuple[float, float]:
        """(low, high) of measured / predicted at `features` (f,), 90 % of cases."""
        unsure = self.noise**2 + float(features @ np.array(self.covariance) @ features)
        half, mean = NORMAL_90 * float(np.sqrt(unsure)), float(self.mean(features))
        return mean * float(np.exp(-half)), mean * float(np.exp(half))


@dataclass(frozen=True)
class Correction:
    """What a user's own measurements say about a profile's predictions.

    Attributes:
        measurements: how many runs it was fitted to. ttft, tpot: of each figure, None where none was measured.
    """

    measurements: int
    ttft: Ridge | None = None
    tpot: Ridge | None = None

    def ttft_factor(self, features: FloatArray) -> FloatArray:
        """Measured / predicted time to first token at `features` (..., f)."""
        return np.ones(features.shape[:-1]) if self.ttft is None else self.ttft.mean(features)

    def tpot_factor(self, features: FloatArray) -> FloatArray:
        """Measured / predicted time of a later token at `features` (..., f)."""
        return np.ones(features.shape[:-1]) if self.tpot is None else self.tpot.mean(features)


def features_of(value_ms: Any, *, ttft_ms: Any, encoder_ms: Any, compression_ms: Any) -> FloatArray:
    """`FEATURES` (..., 4) of a figure that is predicted to take `value_ms`, from uncorrected times of one shape."""
    columns = np.broadcast_arrays(
        1.0, np.log10(np.asarray(value_ms) / 100.0), encoder_ms / ttft_ms, compression_ms / ttft_ms
    )
    return np.stack(columns, axis=-1)
