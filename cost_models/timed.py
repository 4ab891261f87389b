"""Timing the cases of a sweep within a budget of seconds, on a machine whose speed may change meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..common.timing import interleave
from .sweep import Case
from .yardstick import yardstick, yardstick_ms

FloatArray = NDArray[np.float64]
Parts = Mapping[str, float]

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
        samples, scale = self._rounds(functions, budget)
        return scale * np.array([float(np.median(taken)) for taken in samples.values()])

    def case_seconds(self, cases: Iterable[Case], *, budget: float) -> FloatArray:
        """Median seconds of one call of each case."""
        listed = list(cases)
        medians = self.seconds({str(i): case.run for i, case in enumerate(listed)}, budget=budget)
        return np.asarray(medians / np.array([case.repeats for case in listed]))

    def parts(self, functions: Mapping[str, Callable[[], Parts]], *, budget: float) -> dict[str, dict[str, float]]:
        """Median seconds of each part that the functions report, by function and part."""
        reports: dict[str, list[Parts]] = {name: [] for name in functions}
        recorded = {name: partial(_record, function, reports[name]) for name, function in functions.items()}
        samples, scale = self._rounds(recorded, budget)
        found = {}
        for name, taken in samples.items():
            timed = reports[name][-len(taken) :]
            found[name] = {part: scale * float(np.median([one[part] for one in timed])) for part in timed[0]}
        return found

    def _rounds(
        self, functions: Mapping[str, Callable[[], object]], budget: float
    ) -> tuple[dict[str, FloatArray], float]:
        """Seconds of every round by function, and the scale that states them at the reference speed."""
        import torch

        wait = None if self.device == "cpu" else torch.cuda.synchronize
        group = {**functions, _YARDSTICK: yardstick(self.device)}
        start = time.perf_counter()
        interleave(group, rounds=1, warmup=1, synchronize=wait)
        one_round = (time.perf_counter() - start) / 2
        rounds = int(np.clip((budget - 2 * one_round) / one_round, _FEWEST, _MOST))
        samples = interleave(group, rounds=rounds, warmup=0, synchronize=wait)
        return samples, 1e-3 * self.reference_ms / float(np.median(samples.pop(_YARDSTICK)))


def _record(function: Callable[[], Parts], reports: list[Parts]) -> None:
    reports.append(function())
