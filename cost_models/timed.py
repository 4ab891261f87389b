"""Timing the cases of a sweep within a budget of seconds, on a machine whose speed may change meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.timing import interleave, round_order
from .sweep import Case
from .yardstick import Pace, yardstick

FloatArray = NDArray[np.float64]
Parts = Mapping[str, float]

_FEWEST, _MOST = 3, 25
_YARDSTICK = "yardstick"
_PACE_ROUNDS = 3


@dataclass(frozen=True)
class Stopwatch:
    """Times functions in interleaved rounds and states them at the pace that the machine had at first.

    Attributes:
        device: `cpu` or `cuda`. reference: the pace when the stopwatch was made, in which all times are stated.
    """

    device: str
    reference: Pace

    @classmethod
    def start(cls, device: str) -> Stopwatch:
        """A stopwatch whose reference is the machine's pace now."""
        return cls(device, Pace.measure(device))

    def seconds(self, functions: Mapping[str, Callable[[], object]], *, budget: float) -> FloatArray:
        """Median seconds of each function, in order, over as many rounds as `budget` seconds allow (3 to 25).

        The yardstick is timed among them, and the medians are scaled by the reference over its own.
        """
        import torch

        wait = None if self.device == "cpu" else torch.cuda.synchronize
        group = {**functions, _YARDSTICK: yardstick(self.device)}
        start = time.perf_counter()
        interleave(group, rounds=1, warmup=1, synchronize=wait)
        one_round = (time.perf_counter() - start) / 2
        samples = interleave(group, rounds=_rounds(budget, one_round), warmup=0, synchronize=wait)
        scale = 1e-3 * self.reference.compute_ms / float(np.median(samples.pop(_YARDSTICK)))
        return scale * np.array([float(np.median(taken)) for taken in samples.values()])

    def case_seconds(self, cases: Iterable[Case], *, budget: float) -> FloatArray:
        """Median seconds of one call of each case."""
        listed = list(cases)
        medians = self.seconds({str(i): case.run for i, case in enumerate(listed)}, budget=budget)
        return np.asarray(medians / np.array([case.repeats for case in listed]))

    def parts(self, functions: Mapping[str, Callable[[], Parts]], *, budget: float) -> dict[str, dict[str, float]]:
        """Median seconds of each part that the functions report, by function and part.

        Every run is stated at the reference pace by the paces taken right before and after it.
        """
        names, start = tuple(functions), time.perf_counter()
        for turn in range(2):
            list(self.paced(functions, turn))
        rounds = _rounds(budget, (time.perf_counter() - start) / 2)
        taken: dict[str, list[Parts]] = {name: [] for name in names}
        for turn in range(rounds):
            for name, parts in self.paced(functions, turn):
                taken[name].append(parts)
        return {
            name: {part: float(np.median([one[part] for one in runs])) for part in runs[0]}
            for name, runs in taken.items()
        }

    def paced(self, functions: Mapping[str, Callable[[], Parts]], turn: int) -> Iterator[tuple[str, Parts]]:
        """One round of all functions, in the order of `turn`: (name, seconds by part at the reference pace)."""
        before = self.pace()
        for name in round_order(tuple(functions), turn):
            parts = functions[name]()
            after = self.pace()
            yield name, self.stated(parts, before.between(after))
            before = after

    def pace(self) -> Pace:
        """The machine's pace now, from a few rounds."""
        return Pace.measure(self.device, rounds=_PACE_ROUNDS)

    def stated(self, parts: Parts, pace: Pace) -> Parts:
        """Seconds by part, taken at `pace`, as they would be at the reference pace."""
        return {part: seconds / pace.slowdown(self.reference, part) for part, seconds in parts.items()}


def _rounds(budget: float, one_round: float) -> int:
    """Rounds that a budget of seconds allows once two are gone."""
    return int(np.clip((budget - 2 * one_round) / one_round, _FEWEST, _MOST))
