"""The parts of a request that a profile scales, and how far off their predictions are."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..common.names import unknown

PARTS = ("encoder", "projector", "decoder", "head", "decode", "passes")
"""The parts of a request that a calibration scales: each role's prefill, the decode steps, the passes' own work."""


PASSES = "passes"
"""The part of the passes' own work; `passes.NAME` is that of the ops called NAME."""


def part_fault(name: str) -> str | None:
    """What is wrong with the name of a part in a profile, None where nothing is.

    Example:
        >>> part_fault("decode"), part_fault("passes.greedy")
        (None, None)
    """
    known = name in PARTS or name.startswith(f"{PASSES}.")
    return None if known else str(unknown("part", name, PARTS))


@dataclass(frozen=True)
class PartError:
    """Bounds of measured / predicted time of one part of a request, 90 % of cases, and what they were seen on.

    Attributes:
        low, high: the bounds; low <= 1 <= high. shortest_ms, longest_ms: measured times of the models behind them.
    """

    low: float
    high: float
    shortest_ms: float
    longest_ms: float

    def bounds(self, ms: float) -> tuple[float, float]:
        """(low, high) of a part that is predicted to take `ms`.

        Nobody looked outside the range of the models behind it: each factor of ten beyond widens the interval by as
        much as it has (in logarithms).

        Example:
            >>> error = PartError(0.8, 1.25, 10.0, 100.0)
            >>> error.bounds(50.0), tuple(round(bound, 2) for bound in error.bounds(1000.0))
            ((0.8, 1.25), (0.64, 1.56))
        """
        beyond = max(self.shortest_ms / ms, ms / self.longest_ms, 1.0) if ms > 0 else 1.0
        stretch = 1.0 + math.log10(beyond)
        return self.low**stretch, self.high**stretch
