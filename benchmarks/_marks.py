"""What a plan got right of what a model was asked, and how two plans compare on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from foveate.ir.plan import Plan

FloatArray = npt.NDArray[np.float64]

_RESAMPLES = 10_000


@dataclass(frozen=True)
class Marks:
    """The marks of one plan, item by item.

    Attributes:
        right: how much of each item is right: 0 or 1 of a question, words without mistakes of a window of speech.
        whole: how much each item has. groups: the scene or window of each, which are resampled as wholes.
        crossed: the recording of each, where the same ones are heard in several windows; resampled as well.
    """

    right: tuple[float, ...]
    whole: tuple[float, ...]
    groups: tuple[int, ...]
    crossed: tuple[int, ...] = ()

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
        gains = np.subtract(self.right[:common], other.right[:common])
        whole = np.array(self.whole[:common])
        resampled = _resampled(gains, whole, self.groups[:common], self.crossed[:common] or (0,) * common)
        tail = (1 - confidence) / 2
        low, high = np.quantile(resampled, (tail, 1 - tail))
        return float(gains.sum() / whole.sum()), float(low), float(high)


def _resampled(gains: FloatArray, whole: FloatArray, *groupings: Sequence[int]) -> FloatArray:
    """(resamples,) mean gains, both groupings drawn with replacement; an item counts as often as both its groups.

    The pigeonhole bootstrap (Owen 2007, doi:10.1214/07-AOAS122), whose interval is rather too wide than too narrow.
    """
    (rows, row), (columns, column) = (np.unique(groups, return_inverse=True) for groups in groupings)
    random = np.random.default_rng(0)
    sums = np.zeros((2, len(rows), len(columns)))
    np.add.at(sums, (slice(None), row, column), np.stack([gains, whole]))
    times = [_times(random, len(groups)) for groups in (rows, columns)]
    gained, had = (((times[0] @ each) * times[1]).sum(axis=1) for each in sums)
    return np.asarray(gained / had)


def _times(random: np.random.Generator, count: int) -> FloatArray:
    """(resamples, count): how often each of `count` groups is drawn where as many are, with replacement."""
    drawn = random.integers(0, count, (_RESAMPLES, count))
    return np.stack([np.bincount(row, minlength=count) for row in drawn]).astype(np.float64)


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

    @property
    def crossed(self) -> Sequence[int]:
        """The recording of each item, empty where no two groups share one."""
        ...

    def right(self, plan: Plan) -> list[float]:
        """How much of each item is right under `plan`."""
        ...


def marks(exam: Exam, right: Sequence[float]) -> Marks:
    """The marks of what was right in an exam."""
    return Marks(tuple(right), tuple(exam.whole), tuple(exam.groups), tuple(exam.crossed))
