"""Efficiency curves: the fraction of a peak that a device reaches at a given size of work."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import BadInput

Axis = Literal["flops", "rows", "bytes", "inner"]
FloatArray = NDArray[np.float64]

# A rounded file must not fail the test that its exact curve passed.
_SLOPE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Curve:
    """Fraction of a peak rate by size of work, interpolated linearly in log-log space and flat beyond its ends.

    Attributes:
        axis: what `sizes` are: FLOPs or bytes of the op, token rows (flops / (2 inner outer)) of a matrix product, or
            its contracted width.
        sizes: ascending, positive.
        fractions: positive; above 1 where caches serve more than the memory could.

    Raises:
        BadInput: no point, sizes that do not ascend, or a fraction that grows faster than the size, by which more
            work would take less time.

    Example:
        >>> curve = Curve("rows", (1.0, 100.0), (0.1, 1.0))
        >>> [round(float(x), 3) for x in curve([1.0, 10.0, 100.0, 1e6])]
        [0.1, 0.316, 1.0, 1.0]
    """

    axis: Axis
    sizes: tuple[float, ...]
    fractions: tuple[float, ...]
    _logs: tuple[FloatArray, FloatArray] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fault = _fault(self.sizes, self.fractions)
        if fault:
            raise BadInput(f"an efficiency curve over {self.axis} {fault}")
        object.__setattr__(self, "_logs", (np.log(np.array(self.sizes)), np.log(np.array(self.fractions))))

    def __call__(self, size: ArrayLike) -> FloatArray:
        """Fraction at each `size`, any shape; sizes at or below the first point take its fraction."""
        clipped = np.maximum(np.asarray(size, dtype=np.float64), self.sizes[0])
        return np.asarray(np.exp(np.interp(np.log(clipped), *self._logs)))


def _fault(sizes: tuple[float, ...], fractions: tuple[float, ...]) -> str | None:
    """What is wrong with the points of a curve, None where nothing is."""
    if not sizes or len(sizes) != len(fractions):
        return "needs at least one [size, fraction] point"
    if min(sizes) <= 0 or min(fractions) <= 0:
        return "has a size or fraction that is not above zero"
    points = list(zip(sizes, fractions, strict=True))
    for (size, fraction), (larger, higher) in pairwise(points):
        if larger <= size:
            return f"has size {larger:g} after {size:g}; list sizes in ascending order"
        if np.log(higher / fraction) > (1 + _SLOPE_TOLERANCE) * np.log(larger / size):
            return f"grows faster than the work from {size:g} to {larger:g}; more work would take less time"
    return None
