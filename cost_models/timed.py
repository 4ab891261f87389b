"""Timing the cases of a sweep within a budget of seconds, on a machine whose speed may change meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.timing import interleave
from .sweep import Case
from .yardstick import yardstick, yardstick_ms

FloatArray = NDArray[np.float64]

_FEWEST, _MOST = 3, 25
_YARDSTICK = "yardstick"


@dataclass(frozen=True)
class Stopwatch:
    """Times functions in interleaved rounds and states them at the speed that the machine had at first.

    Attributes:
        device: `cpu` or `cuda`. reference_ms: the yardstick when the stopwatch was made; each group of functions is
            timed with the yardstick among them, and its medians are scaled by reference / yardstick.
    """

    device: str
    reference_ms: float

    @classmethod
    def start(cls, device: str) -> Stopwatch:
        """A stopwatch whose reference is the machine's speed now."""
        return cls(device, yardstick_ms(device=device))

    def seconds(self, functions: Mapping[str, Callable[[], object]], *, budget: float) -> FloatArray:
        """Median seconds of each function, in order, over as many rounds as `budget` seconds allow (3 to 25)."""
        import torch

        wait = None if self.device == "cpu" else torch.cuda.synchronize
        group = {**functions, _YARDSTICK: yardstick(self.device)}
        start = time.perf_counter()
        interleave(group, rounds=1, warmup=1, synchronize=wait)
        one_round = (time.perf_counter() - start) / 2
        rounds = int(np.clip((budget - 2 * one_round) / one_round, _FEWEST, _MOST))
        samples = interleave(group, rounds=rounds, warmup=0, synchronize=wait)
        medians = {name: float(np.median(taken)) for name, taken in samples.items()}
        scale = 1e-3 * self.reference_ms / medians.pop(_YARDSTICK)
        return scale * np.array(list(medians.values()))

    def case_seconds(self, cases: Iterable[Case], *, budget: float) -> FloatArray:
        """Median seconds of one call of each case."""
        listed = list(cases)
        medians = self.seconds({str(i): case.run for i, case in enumerate(listed)}, budget=budget)
        return np.asarray(medians / np.array([case.repeats for case in listed]))
