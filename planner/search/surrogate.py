"""What a combination is expected to lose, from what its steps lose alone and what pairs of passes did together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from .decision import Decision, Step

FloatArray = npt.NDArray[np.float64]

_POWER, _POWER_TRUST = 2.0, 0.5
"""Where nothing else is known losses grow as the square of 1/r - 1, and how many measurements that is worth."""

_LEAST_LOSS = 1e-5
_PAIR_TRUST = 1.0
"""Prior measurements that say that a pair neither helps nor harms beyond its steps."""


@dataclass(frozen=True)
class Point:
    """One measurement of a step alone: the fraction of tokens that remained, and the value."""

    remaining: float
    value: float


@dataclass(frozen=True)
class Curve:
    """loss(r) = scale * (1/r - 1)^power, for r the fraction of tokens that remains; loss is -log(value).

    Example:
        >>> curve = Curve.fit([Point(0.5, 0.99), Point(0.1, 0.5)])
        >>> bool(curve.loss(0.1) > curve.loss(0.5) > curve.loss(1.0) == 0)
        True
    """

    scale: float
    power: float

    @classmethod
    def fit(cls, points: Sequence[Point]) -> Curve:
        """Least squares in log space, the power drawn towards 2 by a ridge, since few points are measured."""
        dropped = [point for point in points if point.remaining < 1]
        x = np.log([1 / point.remaining - 1 for point in dropped])
        y = np.log([loss_of(point.value) for point in dropped])
        spread, joint = float(((x - x.mean()) ** 2).sum()), float(((x - x.mean()) * (y - y.mean())).sum())
        power = max(0.0, (joint + _POWER_TRUST * _POWER) / (spread + _POWER_TRUST))
        return cls(float(np.exp(y.mean() - power * x.mean())), power)

    def loss(self, remaining: float | FloatArray) -> FloatArray:
        """The loss at a remaining fraction of `remaining`."""
        dropped = np.maximum(1 / np.maximum(remaining, 1e-9) - 1, 0.0)
        return np.asarray(self.scale * np.where(dropped > 0, dropped**self.power, 0.0))


@dataclass
class Surrogate:
    """Expected losses: the curves of single steps, and a factor for each pair of passes that was measured together.

    Attributes:
        curves: by step; a step that was not measured takes the curve of the nearest measured one of its pass.
    """

    curves: Mapping[Step, Curve]
    _pairs: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    _found: dict[Step, Curve | None] = field(default_factory=dict)

    def curve(self, step: Step) -> Curve | None:
        """The curve of a step; None where its pass was not measured in this part of the model."""
        if step not in self._found:
            self._found[step] = self._nearest(step)
        return self._found[step]

    def _nearest(self, step: Step) -> Curve | None:
        near = [s for s in self.curves if s.method == step.method and _part(s) == _part(step)]
        if not near:
            return None
        return self.curves[min(near, key=lambda other: _distance(other, step))]

    def loss(self, decision: Decision, remaining: Sequence[FloatArray | float]) -> FloatArray:
        """Expected loss of `decision` where `remaining` of the tokens are left after each step.

        Along the flow each step adds what its own curve rises by between the tokens that arrive and those that go on.
        """
        total: FloatArray = np.zeros(())
        before: FloatArray | float = 1.0
        for step, after in zip(decision.steps, remaining, strict=True):
            curve = self.curve(step)
            if curve is None:
                return np.full(np.shape(after), np.inf)
            total = total + np.maximum(curve.loss(after) - curve.loss(before), 0.0)
            before = after
        return np.asarray(total * self.factor(decision.methods))

    def learn(self, decision: Decision, remaining: Sequence[float], value: float) -> None:
        """A combination was measured: its pairs of passes lose that much more or less than their steps foretold."""
        pairs = _pairs(decision.methods)
        expected = float(self.loss(decision, remaining)) / self.factor(decision.methods)
        if pairs and math.isfinite(expected):
            ratio = math.log(loss_of(value) / max(expected, _LEAST_LOSS)) / len(pairs)
            for pair in pairs:
                self._pairs.setdefault(pair, []).append(ratio)

    def factor(self, methods: Sequence[str]) -> float:
        """What the losses of these passes together are multiplied by; 1 where no pair of them was measured."""
        seen = [self._pairs[pair] for pair in _pairs(methods) if pair in self._pairs]
        return math.exp(sum(sum(ratios) / (len(ratios) + _PAIR_TRUST) for ratios in seen))


def _distance(first: Step, second: Step) -> tuple[bool, bool, bool, float]:
    staged = len(first.places) != len(second.places)
    return first != second, first.kind != second.kind, staged, abs(first.depth[1] - second.depth[1])


def _part(step: Step) -> str:
    """The part of the model that a step acts in: the encoder's output counts as the projector's."""
    return "projector" if step.kind == "encoder.output" else step.kind.split(".")[0]


def loss_of(value: float) -> float:
    """-log(value), kept above zero so that its logarithm exists."""
    return max(-math.log(max(value, 1e-9)), _LEAST_LOSS)


def _pairs(methods: Iterable[str]) -> list[tuple[str, str]]:
    return list(combinations(methods, 2))
