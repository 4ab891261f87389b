"""What a plan got right of what a model was asked, and how two plans compare on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from foveate.ir.plan import Plan

_RESAMPLES = 10_000


@dataclass(frozen=True)
class Marks:
    """The marks of one plan, item by item.

    Attributes:
        right: how much of each item is right: 0 or 1 of a question, words without mistakes of a window of speech.
        whole: how much each item has. groups: the scene or window of each, which are resampled as wholes.
    """

    right: tuple[float, ...]
    whole: tuple[float, ...]
    groups: tuple[int, ...]

    @property
    def mean(self) -> float:
        """The right part of everything.

        >>> Marks((1.0, 6.0), (1.0, 9.0), (0, 1)).mean
        0.7
        """
        return float(sum(self.right) / sum(self.whole))

    def gain(self, other: Marks, *, confidence: float = 0.95) -> tuple[float, float, float]:
        """(difference, low, high): this mean minus another's on the same items, its interval paired by group.

        Where one of them was marked on the first items only, both count there.

        >>> Marks((1.0, 1.0), (1.0, 1.0), (0, 1)).gain(Marks((0.0, 0.0), (1.0, 1.0), (0, 1)))
        (1.0, 1.0, 1.0)
        """
        common = min(len(self.right), len(other.right))
        _, group = np.unique(self.groups[:common], return_inverse=True)
        gains = np.bincount(group, weights=np.subtract(self.right[:common], other.right[:common]))
        sizes = np.bincount(group, weights=self.whole[:common])
        drawn = np.random.default_rng(0).integers(0, len(sizes), (_RESAMPLES, len(sizes)))
        tail = (1 - confidence) / 2
        low, high = np.quantile(gains[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), (tail, 1 - tail))
        return float(gains.sum() / sizes.sum()), float(low), float(high)


class Exam(Protocol):
    """Items with known answers that a plan is marked on."""

    @property
    def whole(self) -> Sequence[float]:
        """How much each item has."""
        ...

    @property
    def groups(self) -> Sequence[int]:
        """The scene or window of each item."""
        ...

    def right(self, plan: Plan) -> list[float]:
        """How much of each item is right under `plan`."""
        ...


def marks(exam: Exam, right: Sequence[float]) -> Marks:
    """The marks of what was right in an exam."""
    return Marks(tuple(right), tuple(exam.whole), tuple(exam.groups))
